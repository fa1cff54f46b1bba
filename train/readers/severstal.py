"""Severstal steel: run lengths in `train.csv`, images in `train_images/`.

Columns ImageId,ClassId,EncodedPixels, or ImageId_ClassId,EncodedPixels with nothing encoded where
the class is absent. An image that the table does not list is good. Runs are pairs of start and
length; pixels count from 1, down the columns. No split is given; `test_images/` has no labels and
is passed over.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import DataError
from runtime.images import Image
from train.drawing import MAX_CLASSES, Shape, largest_class
from train.readers.image_files import images_in, sample_of
from train.readers.table import rows_of
from train.sample import GOOD, Listing, Sample, numbered_classes

TABLE = "train.csv"
FOLDER = "train_images"


@dataclass(frozen=True)
class Runs:
    """The runs (start, length) of class `index` on one line of the table."""

    line: int
    index: int
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RunLengths:
    """What the table says of one image."""

    table: Path
    rows: tuple[Runs, ...]

    def draw(self, shape: Shape) -> Image:
        """As `Drawing.draw`."""
        height, width = shape
        columns = np.zeros(width * height, np.uint8)
        for runs in self.rows:
            for start, length in runs.pairs:
                if start - 1 + length > columns.size:
                    raise DataError(
                        f"{self.table}:{runs.line}: run {start} {length} ends beyond the image, "
                        f"which has {width}x{height} pixels; encode the mask of this image"
                    )
                columns[start - 1 : start - 1 + length] = runs.index
        return np.ascontiguousarray(columns.reshape(width, height).T)

    def digest(self) -> bytes:
        """As `Drawing.digest`."""
        said = [(runs.index, runs.pairs) for runs in self.rows]
        return hashlib.sha256(repr(said).encode()).digest()

    def file(self) -> Path:
        """As `Drawing.file`."""
        return self.table


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return (root / TABLE).is_file() and (root / FOLDER).is_dir()


def read(root: Path) -> Listing:
    """The samples, by name; as many classes as the highest ClassId.

    Raises:
        DataError: a missing column, or a field that is no class or no runs.
    """
    rows_of_image: dict[Path, list[Runs]] = defaultdict(list)
    for line, row in rows_of(root / TABLE, ("EncodedPixels",)):
        image, number = _image_and_class(root / TABLE, row)
        runs_of_image = rows_of_image[root / FOLDER / image]
        if row["EncodedPixels"].strip():
            runs_of_image.append(_runs(root / TABLE, line, number, row["EncodedPixels"]))
    every = [runs for rows in rows_of_image.values() for runs in rows]
    highest = max((runs.index for runs in every), default=1)
    names = numbered_classes(highest)
    images = sorted({*images_in(root / FOLDER), *rows_of_image})
    samples = (_sample(root, image, rows_of_image.get(image, []), names) for image in images)
    return Listing(tuple(samples), names)


def _sample(root: Path, image: Path, rows: list[Runs], names: tuple[str, ...]) -> Sample:
    if not rows:
        return sample_of(root, image, None, GOOD, "")
    areas = ((runs.index, sum(length for _, length in runs.pairs)) for runs in rows)
    kind = names[largest_class(areas) - 1]
    return sample_of(root, image, RunLengths(root / TABLE, tuple(rows)), kind, "")


def _image_and_class(table: Path, row: dict[str, str]) -> tuple[str, str]:
    if "ImageId_ClassId" in row:
        image, _, number = row["ImageId_ClassId"].rpartition("_")
        return image, number
    if "ImageId" in row and "ClassId" in row:
        return row["ImageId"], row["ClassId"]
    raise DataError(
        f"{table}: has the columns {list(row)}; expected ImageId,ClassId,EncodedPixels or "
        "ImageId_ClassId,EncodedPixels"
    )


def _runs(table: Path, line: int, number: str, encoded: str) -> Runs:
    if not number.isdecimal() or not 1 <= int(number) <= MAX_CLASSES:
        raise DataError(f"{table}:{line}: ClassId is '{number}', expected 1 to {MAX_CLASSES}")
    words = encoded.split()
    if len(words) % 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise DataError(
            f"{table}:{line}: EncodedPixels is '{encoded[:40]}', expected pairs of start and "
            "length, counted from 1; encode the mask anew"
        )
    numbers = [int(word) for word in words]
    return Runs(line, int(number), tuple(zip(numbers[::2], numbers[1::2], strict=True)))
