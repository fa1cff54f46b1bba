"""COCO's segmentations, polygons and run lengths, as one drawing of runs.

Polygons are drawn by pycocotools, as everyone's are. Runs are not: its decoder leaves what they do
not fill as the memory was.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from runtime.errors import DataError
from runtime.images import Image
from train.drawing import FARTHEST_PX, Shape, require_recorded_size

MIN_NUMBERS = 6  # three corners


class EncodedRuns(msgspec.Struct, frozen=True):
    """Lengths of runs down the columns, good and defective by turns; as text, compressed."""

    size: tuple[int, int]
    counts: list[int] | str


Segmentation = list[list[float]] | EncodedRuns


@dataclass(frozen=True)
class Segments:
    """What a COCO file says of `image`: (class index, runs as int32) of each annotation."""

    path: Path
    image: str
    recorded: Shape
    parts: tuple[tuple[int, bytes], ...]

    def draw(self, shape: Shape) -> Image:
        """As `Drawing.draw`."""
        require_recorded_size(f"{self.path}: image '{self.image}'", self.recorded, shape)
        drawn = np.zeros(shape[::-1], np.uint8)  # (W, H): runs go down the columns
        for index, counts in self.parts:
            runs = np.frombuffer(counts, np.int32)
            defective = np.arange(runs.size) % 2 == 1
            drawn.ravel()[np.repeat(defective, runs)] = index
        return np.ascontiguousarray(drawn.T)

    def areas(self) -> list[tuple[int, int]]:
        """(class index, pixels) of each annotation."""
        return [(i, int(np.frombuffer(counts, np.int32)[1::2].sum())) for i, counts in self.parts]

    def digest(self) -> bytes:
        """As `Drawing.digest`."""
        return hashlib.sha256(repr((self.recorded, self.parts)).encode()).digest()

    def file(self) -> Path:
        """As `Drawing.file`."""
        return self.path


def runs_of(segmentation: Segmentation, shape: Shape, where: str) -> bytes:
    """The runs, as int32, of a segmentation in an image of (height, width) = `shape`.

    Raises:
        DataError: no polygon, runs of another size, or not a pixel in the image; the message begins
            with `where`.
    """
    if isinstance(segmentation, EncodedRuns):
        counts = _whole_counts(segmentation, shape, where)
    else:
        counts = _counts_of_polygons(segmentation, shape, where)
    if not any(counts[1::2]):
        raise DataError(
            f"{where} draws no pixel of the image, which is {shape[1]}x{shape[0]}; draw it anew, "
            "or take it out"
        )
    return np.asarray(counts, np.int32).tobytes()


def _counts_of_polygons(polygons: list[list[float]], shape: Shape, where: str) -> list[int]:
    from pycocotools import mask

    _check_polygons(polygons, max(FARTHEST_PX, *shape), where)
    together = mask.merge(mask.frPyObjects(polygons, *shape))
    if not mask.area(together):
        together = mask.encode(_as_lines(polygons, shape))
    return _decompressed(together["counts"].decode())


def _as_lines(polygons: list[list[float]], shape: Shape) -> Image:
    """The outlines, one pixel wide: of polygons without an area, drawn along a thin defect."""
    drawn = np.zeros(shape, np.uint8)
    corners = [np.floor(polygon).astype(np.int32).reshape(-1, 2) for polygon in polygons]
    for places in corners:
        places[places == shape[::-1]] -= 1  # of a border, the pixels that it is of
    cv2.polylines(drawn, corners, isClosed=True, color=1)
    return np.asfortranarray(drawn)


def _check_polygons(polygons: list[list[float]], most: int, where: str) -> None:
    for polygon in polygons:
        if len(polygon) < MIN_NUMBERS or len(polygon) % 2:
            raise DataError(
                f"{where}: polygon has {len(polygon)} numbers, expected x and y of three corners "
                "or more; draw it anew"
            )
        if abs(farthest := max(polygon, key=abs)) > most:
            raise DataError(f"{where}: polygon reaches to {farthest:g}; draw it anew")


def _whole_counts(runs: EncodedRuns, shape: Shape, where: str) -> list[int]:
    """The counts, which fill the image."""
    counts = _decompressed(runs.counts) if isinstance(runs.counts, str) else runs.counts
    height, width = shape
    if runs.size != shape or min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise DataError(
            f"{where}: runs fill {sum(counts)} pixels of {runs.size[1]}x{runs.size[0]}, the image "
            f"is recorded as {width}x{height}; export the segmentation anew"
        )
    return counts


def _decompressed(text: str) -> list[int]:
    """COCO's compressed counts: five bits a character, the lowest first, then a sign.

    From the fourth on, a count is written as its difference to the one two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (bits & 0x10) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))  # noqa: PLR2004 - above
            value = shift = 0
    return counts
