"""Gives layers back to float, the most harmful first, until INT8 keeps what float finds."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

MOST = 0.5  # of the layers; with more of them in float, it is no INT8 network


class Attempt(Protocol):
    """A rendering with some layers in float, and the limits that it breaks."""

    @property
    def broken(self) -> Sequence[str]:
        """Sentences; none where parity holds."""
        ...


Tried = TypeVar("Tried", bound=Attempt)


def fewest_float_layers(
    attempt: Callable[[Sequence[str]], Tried],
    by_harm: Callable[[], Sequence[str]],
    of_its_twin: int = 0,
) -> Tried:
    """The attempt that holds with the fewest float layers, or the last one, which does not hold.

    `by_harm` gives the layers, the most harmful first; it is asked only if INT8 throughout fails.
    Their number is doubled until the attempt holds, then halved in between: that finds the fewest
    wherever one more float layer does no harm. `of_its_twin` is how many a rendering needs that
    rounds the same: they are tried first, and fewer are not.
    """
    tried = attempt(by_harm()[:of_its_twin] if of_its_twin else ())
    if not tried.broken:
        return tried
    layers = by_harm()
    too_few, most = of_its_twin, int(MOST * len(layers))
    while tried.broken and too_few < most:
        enough = min(max(1, 2 * too_few), most)
        tried = attempt(layers[:enough])
        if tried.broken:
            too_few = enough
    if tried.broken:
        return tried
    held = tried
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        tried = attempt(layers[:middle])
        if tried.broken:
            too_few = middle
        else:
            enough, held = middle, tried
    return held
