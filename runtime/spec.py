"""What a network takes, and where its verdict lies: plain data that every stage shares."""

from dataclasses import dataclass

from runtime.tiling import Fit


@dataclass(frozen=True)
class InputSpec:
    """The network's input in pixels, and how a frame is brought to it; `scale` is for tiles."""

    width: int
    height: int
    channels: int
    fit: Fit = Fit.STRETCH
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height


@dataclass(frozen=True)
class Limits:
    """The gate opens at `threshold`; a mask pixel is defective from `mask_threshold` on.

    Components smaller than `min_area_px`, in pixels of the frame, are no defects. An open sample
    that scores below `review_below` is for a person to see; 0 where there is no such zone.
    """

    threshold: float = 0.5
    mask_threshold: float = 0.5
    min_area_px: float = 0.0
    review_below: float = 0.0
