"""Shapes of labelme as pixels: a point is the pixel that it lies in.

The outline belongs to a shape, and a line is one pixel wide.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from runtime.errors import DataError
from runtime.images import Image
from train.drawing import FARTHEST_PX, Shape, require_recorded_size

MIN_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "mask": 2}


class LabelledShape(msgspec.Struct, frozen=True):
    """A shape of a labelme file; without a type it is a polygon."""

    label: str
    points: tuple[tuple[float, float], ...]
    shape_type: str | None = None
    mask: str | None = None

    def name(self) -> str:
        """Of the class."""
        return self.label.strip()

    def kind(self) -> str:
        """What is drawn."""
        return self.shape_type or "polygon"

    def radius(self) -> float:
        """Of a circle, whose second point lies on its border."""
        return float(np.hypot(*np.subtract(self.points[1], self.points[0])))

    def pixels(self) -> npt.NDArray[np.int32]:
        """The points as pixels, (N, 2), x before y."""
        return np.floor(self.points).astype(np.int32)


@dataclass(frozen=True)
class Shapes:
    """What a labelme file says: (class index, shape) in its order."""

    path: Path
    recorded: Shape
    shapes: tuple[tuple[int, LabelledShape], ...]

    def draw(self, shape: Shape) -> Image:
        """As `Drawing.draw`; a shape that cannot be drawn is refused."""
        require_recorded_size(f"{self.path}: image", self.recorded, shape)
        drawn = np.zeros(shape, np.uint8)
        for index, labelled in self.shapes:
            _paint(drawn, labelled, index, f"{self.path}: shape '{labelled.label}'")
        return drawn

    def areas(self) -> list[tuple[int, int]]:
        """(class index, pixels) of each class, in the order of the shapes."""
        drawn = self.draw(self.recorded)
        indices = dict.fromkeys(index for index, _ in self.shapes)
        return [(index, int(np.count_nonzero(drawn == index))) for index in indices]

    def digest(self) -> bytes:
        """As `Drawing.digest`."""
        return hashlib.sha256(repr((self.recorded, self.shapes)).encode()).digest()

    def file(self) -> Path:
        """As `Drawing.file`."""
        return self.path


def _paint(drawn: Image, shape: LabelledShape, index: int, where: str) -> None:
    """Draw the shape into `drawn`, in place."""
    _check_points(shape, drawn.shape, where)
    points = shape.pixels()
    if shape.kind() == "polygon":
        cv2.fillPoly(drawn, [points], index)
    elif shape.kind() == "rectangle":
        corners = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        cv2.rectangle(drawn, *corners, index, cv2.FILLED)
    elif shape.kind() == "circle":
        cv2.circle(drawn, points[0].tolist(), round(shape.radius()), index, cv2.FILLED)
    elif shape.kind() == "mask":
        _paste(drawn, shape, index, where)
    else:
        cv2.polylines(drawn, [points], isClosed=False, color=index)


def _check_points(shape: LabelledShape, image: tuple[int, ...], where: str) -> None:
    if shape.kind() not in MIN_POINTS:
        raise DataError(
            f"{where} is a {shape.kind()}, expected one of {list(MIN_POINTS)}; outline the defect"
        )
    if len(shape.points) < MIN_POINTS[shape.kind()]:
        raise DataError(
            f"{where} is a {shape.kind()} with {len(shape.points)} points, expected "
            f"{MIN_POINTS[shape.kind()]} or more; draw it anew"
        )
    points = np.array(shape.points[:1] if shape.kind() == "circle" else shape.points)
    reach = shape.radius() if shape.kind() == "circle" else 0.0
    (left, top), (right, bottom) = points.min(axis=0) - reach, points.max(axis=0) + reach
    height, width = image
    is_outside = right < 0 or bottom < 0 or left >= width or top >= height
    if is_outside or max(-left, -top, right, bottom) > max(FARTHEST_PX, *image):
        raise DataError(
            f"{where} lies at x {left:g} to {right:g}, y {top:g} to {bottom:g} of "
            f"{width}x{height}; draw it anew, or take it out"
        )


def _paste(drawn: Image, shape: LabelledShape, index: int, where: str) -> None:
    """Draw a mask, whose two points are its first and its last pixel."""
    mask = _decoded(shape.mask or "", where)
    (left, top), (right, bottom) = shape.pixels()[:2].tolist()
    inside = left >= 0 and top >= 0 and right < drawn.shape[1] and bottom < drawn.shape[0]
    if mask.shape != (bottom - top + 1, right - left + 1) or not inside:
        raise DataError(
            f"{where} has a mask of {mask.shape[1]}x{mask.shape[0]} at x {left} to {right}, "
            f"y {top} to {bottom} of {drawn.shape[1]}x{drawn.shape[0]}; draw it anew"
        )
    drawn[top : bottom + 1, left : right + 1][mask > 0] = index


def _decoded(mask: str, where: str) -> Image:
    """The pixels of a PNG in base64, grey."""
    try:
        encoded = np.frombuffer(base64.b64decode(mask, validate=True), np.uint8)
    except binascii.Error:
        encoded = np.zeros(0, np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if encoded.size else None
    if decoded is None:
        raise DataError(f"{where} has a mask that is no PNG in base64; draw it anew")
    return decoded.astype(np.uint8, copy=False)
