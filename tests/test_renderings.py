"""Which ranges are taken: those that lose the least Seg_Recall, then the least AP."""

from dataclasses import dataclass

import pytest

from export.renderings import least_loss


@dataclass(frozen=True)
class Lost:
    """A rendering, by what it lost."""

    losses: dict


def lost(*pairs):
    return [Lost({"seg_recall": recall, "image_ap": ap}) for recall, ap in pairs]


@pytest.mark.parametrize(
    ("pairs", "best"),
    [
        ([(0.1, 0.0), (0.0, 0.3), (0.2, 0.0)], 1),
        ([(0.1, 0.2), (0.1, 0.1), (0.1, 0.3)], 1),
        ([(0.1, 0.1), (0.1, 0.1), (0.1, 0.1)], 0),
        ([(0.0, 0.0), (-0.1, 0.0), (-0.1, -0.1)], 2),
    ],
)
def test_the_least_seg_recall_is_lost_then_the_least_ap(pairs, best):
    assert least_loss(lost(*pairs)) == best
