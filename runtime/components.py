"""From a mask of probabilities to defects: the blobs that are strong and large enough."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime import _native

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Defect:
    """One blob of a mask, measured in pixels of the frame.

    `bbox` is (x, y, width, height), rounded to whole pixels. `length_px` is how far the blob
    reaches along its main axis (runtime/native/components.h has the formula). `score` is the
    mean probability over its pixels.
    """

    bbox: tuple[int, int, int, int]
    area_px: float
    length_px: float
    score: float
    kind: str = "defect"


def defects(
    mask: Mask,
    threshold: float,
    min_area_px: float,
    scale: tuple[float, float],
    *,
    kind: str = "defect",
    kept: Mask | None = None,
) -> list[Defect]:
    """The 8-connected blobs of `mask` (h, w), probability x 255, largest first.

    A pixel belongs to a blob where its probability is at least `threshold`, and is never 0. A
    blob below `min_area_px` is dropped. `scale` is the frame's pixels per mask pixel, (x, y).
    `kept`, of the mask's shape, receives 1 on the pixels of the defects and 0 elsewhere.

    Raises:
        ValueError: an array, a limit or a scale that cannot be used.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"mask threshold {threshold}: expected a probability, 0 to 1")
    level = max(1, math.ceil(threshold * 255))
    return [
        Defect(
            bbox=_box(blob[:4], scale),
            area_px=blob[4] * scale[0] * scale[1],
            length_px=blob[6],
            score=blob[5] / 255,
            kind=kind,
        )
        for blob in _native.components(mask, level, min_area_px, scale, kept)
    ]


def _box(box: tuple[int, int, int, int], scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Rounds the borders, so that boxes that touch in the mask touch in the frame."""
    left, right = (round(x * scale[0]) for x in (box[0], box[0] + box[2]))
    top, bottom = (round(y * scale[1]) for y in (box[1], box[1] + box[3]))
    return left, top, max(1, right - left), max(1, bottom - top)
