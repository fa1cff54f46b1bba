"""From a mask of probabilities to defects: the blobs that are strong and large enough."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime import _native

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Defect:
    """One blob of a mask, measured in pixels of the frame.

    `bbox` is (x, y, width, height), rounded to whole pixels; `centroid` is (x, y), and a pixel's
    own is half a pixel from its corner. `length_px` is how far the blob reaches along its main
    axis (runtime/native/components.h has the formula). `score` is the mean probability over its
    pixels.
    """

    bbox: tuple[int, int, int, int]
    centroid: tuple[float, float]
    area_px: float
    length_px: float
    score: float
    kind: str = "defect"


class Found(NamedTuple):
    """The largest defects of a mask, and how many others there are."""

    defects: list[Defect]
    others: int


@dataclass(frozen=True)
class MaskRle:
    """A class's foreground as COCO's compressed run lengths; `size` is (height, width)."""

    kind: str
    size: tuple[int, int]
    counts: str


def mask_rle(mask: Mask, kind: str = "defect") -> MaskRle:
    """The foreground of `mask` (h, w), all but 0.

    Raises:
        ValueError: no uint8 array of two axes.
    """
    counts = _native.rle(mask)
    return MaskRle(kind, (mask.shape[0], mask.shape[1]), counts)


def find_defects(
    mask: Mask,
    threshold: float,
    min_area_px: float,
    scale: tuple[float, float],
    *,
    kind: str = "defect",
    kept: Mask | None = None,
    most: int = 0,
) -> Found:
    """The 8-connected blobs of `mask` (h, w), probability x 255, largest first.

    A pixel belongs to a blob where its probability is at least `threshold`, and is never 0. A
    blob below `min_area_px` is dropped. `scale` is the frame's pixels per mask pixel, (x, y).
    `kept`, of the mask's shape, receives 1 on the pixels of the defects and 0 elsewhere. Those
    beyond the `most` largest are only counted, where it is not 0.

    Raises:
        ValueError: an array, a limit or a scale that cannot be used.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"mask threshold {threshold}: expected a probability, 0 to 1")
    level = max(1, math.ceil(threshold * 255))
    blobs, others = _native.components(mask, level, min_area_px, scale, kept, most)
    found = [
        Defect(
            bbox=_box(blob[:4], scale),
            centroid=blob[8:],
            area_px=blob[4] * scale[0] * scale[1],
            length_px=blob[6],
            score=blob[5] / 255,
            kind=kind,
        )
        for blob in blobs
    ]
    return Found(found, others)


def _box(box: tuple[int, int, int, int], scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Rounds the borders, so that boxes that touch in the mask touch in the frame."""
    left, right = (round(x * scale[0]) for x in (box[0], box[0] + box[2]))
    top, bottom = (round(y * scale[1]) for y in (box[1], box[1] + box[3]))
    return left, top, max(1, right - left), max(1, bottom - top)
