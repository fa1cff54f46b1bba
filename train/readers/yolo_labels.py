"""A text of YOLO's labels: a line for each defect, its class, then its outline or its box."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from runtime.errors import DataError
from runtime.images import Image
from train.drawing import Shape

TEXT = ".txt"
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
LABEL = re.compile(rf"\s*\d{{1,4}}(\.0*)?(\s+{NUMBER}){{4,}}\s*", re.IGNORECASE)
BOX = 4  # numbers: centre and size
MIN_NUMBERS = 6  # of an outline: three corners
BEYOND = 0.01  # of the image, which rounding explains
ROUNDED = 0.01  # of a pixel, by the digits of the text


@dataclass(frozen=True)
class Mark:
    """A line: a class index from 0, and x and y of corners, or of a box, as shares of the image."""

    line: int
    index: int
    numbers: tuple[float, ...]

    def is_box(self) -> bool:
        """Whether it is no outline."""
        return len(self.numbers) == BOX

    def area(self) -> float:
        """As a share of the image."""
        if self.is_box():
            return self.numbers[2] * self.numbers[3]
        x, y = np.reshape(self.numbers, (-1, 2)).T
        return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


@dataclass(frozen=True)
class Outlines:
    """The outlines in the text `path`, (class index from 1, outline) in its order.

    A corner is the pixel that it lies in, and the outline belongs to the defect, as ultralytics
    draws it.
    """

    path: Path
    parts: tuple[tuple[int, Mark], ...]

    def draw(self, shape: Shape) -> Image:
        """As `Drawing.draw`."""
        drawn = np.zeros(shape, np.uint8)
        size = np.array(shape[::-1])
        for index, mark in self.parts:
            corners = np.floor(np.reshape(mark.numbers, (-1, 2)) * size + ROUNDED)
            cv2.fillPoly(drawn, [corners.clip(0, size - 1).astype(np.int32)], index)
        return drawn

    def digest(self) -> bytes:
        """As `Drawing.digest`."""
        return hashlib.sha256(repr(self.parts).encode()).digest()

    def file(self) -> Path:
        """As `Drawing.file`."""
        return self.path


def is_label(text: Path) -> bool:
    """Whether the first line of the file `text` that is not empty is a label."""
    first = next((line for line in lines_of(text) if line.strip()), "")
    return bool(LABEL.fullmatch(first))


def lines_of(text: Path) -> list[str]:
    """The lines of the file `text`; what is no UTF-8 in them is replaced."""
    return text.read_text("utf-8-sig", errors="replace").splitlines()


def marks_in(text: Path) -> list[Mark]:
    """What the file `text` marks.

    Raises:
        DataError: a line that is no label, which it names.
    """
    lines = ((number, line) for number, line in enumerate(lines_of(text), 1) if line.strip())
    return [_mark(f"{text}:{number}", number, line) for number, line in lines]


def _mark(where: str, number: int, line: str) -> Mark:
    values = [float(value) for value in line.split()] if LABEL.fullmatch(line) else []
    index, numbers = next(iter(values), 0.0), tuple(values[1:])
    if len(numbers) != BOX and (len(numbers) < MIN_NUMBERS or len(numbers) % 2):
        raise DataError(
            f"{where}: is neither an outline (the number of a class, x and y of three corners or "
            "more) nor a box (its number, centre and size); export it anew"
        )
    if not all(-BEYOND <= value <= 1 + BEYOND for value in numbers):
        raise DataError(
            f"{where}: has numbers outside of 0 to 1, which are shares of the image's width and "
            "height; export it anew"
        )
    return Mark(number, int(index), numbers)
