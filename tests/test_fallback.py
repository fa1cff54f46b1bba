"""The fall-back finds the fewest float layers that hold, and asks for nothing it does not need."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.fallback import MOST, fewest_float_layers

LAYERS = [f"layer {rank}" for rank in range(40)]


@dataclass(frozen=True)
class Tried:
    """An attempt with the first layers in float."""

    float_layers: tuple
    broken: tuple


class Attempts:
    """Holds from so many float layers on; remembers what was tried."""

    def __init__(self, needed):
        self.needed = needed
        self.tried = []

    def render(self, layers):
        """One attempt."""
        assert tuple(layers) == tuple(LAYERS[: len(layers)])
        self.tried.append(len(layers))
        broken = () if len(layers) >= self.needed else ("recall fell",)
        return Tried(tuple(layers), broken)


@given(st.integers(1, int(MOST * len(LAYERS))))
def test_the_fewest_layers_that_hold_are_found(needed):
    attempts = Attempts(needed)
    found = fewest_float_layers(attempts.render, lambda: LAYERS)
    assert len(found.float_layers) == needed
    assert not found.broken
    assert len(attempts.tried) == len(set(attempts.tried)) <= 11


def test_int8_throughout_asks_for_no_sensitivity():
    attempts = Attempts(0)
    found = fewest_float_layers(attempts.render, lambda: pytest.fail("not needed"))
    assert found.float_layers == ()
    assert attempts.tried == [0]


@given(st.integers(1, 20), st.integers(0, 20))
def test_what_its_twin_needs_is_tried_first_and_less_is_not(of_its_twin, needed):
    attempts = Attempts(needed)
    found = fewest_float_layers(attempts.render, lambda: LAYERS, of_its_twin)
    assert attempts.tried[0] == of_its_twin == min(attempts.tried)
    assert len(found.float_layers) == max(needed, of_its_twin)
    assert not found.broken
    assert len(attempts.tried) == len(set(attempts.tried))


@pytest.mark.parametrize("layers", [LAYERS, LAYERS[:1], []])
def test_what_never_holds_ends_at_half_of_the_layers(layers):
    attempts = Attempts(1000)
    found = fewest_float_layers(attempts.render, lambda: layers)
    assert found.broken
    assert len(found.float_layers) == int(MOST * len(layers))
    assert len(attempts.tried) <= 7
