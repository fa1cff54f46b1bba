"""Where the pieces of a frame lie in the network's input, and how their masks become one again.

A mask has the size of the network's input.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.preprocess import Rect, Tile

__all__ = ["Canvas", "Fit", "Rect", "Tile", "mask_canvas", "tiles"]

Size = tuple[int, int]  # (width, height)
Masks = npt.NDArray[np.uint8]

OVERLAP = 1 / 8


class Fit(str, enum.Enum):
    """How a frame is brought to the network's input."""

    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    TILE = "tile"


@dataclass(frozen=True)
class Canvas:
    """The masks (K, h, w) of a whole sample; a pixel is `scale` (x, y) pixels of the frame."""

    masks: Masks
    scale: tuple[float, float]


def tiles(
    frame_size: Size, input_size: Size, fit: Fit, overlap: float = OVERLAP, scale: float = 1.0
) -> list[Tile]:
    """The tiles of a frame: row by row, together they cover every pixel.

    `stretch`: the whole frame fills the whole input. `letterbox`: the same, its aspect kept to
    the nearest pixel, centred. `tile`: pieces of the frame that fill the input when it is
    brought to `scale`, 0.5 for half its size; spread evenly, each shares at least `overlap` of
    its side with the next one. Along an axis where the frame is shorter than the input, it is
    centred.

    Raises:
        ValueError: a side below 1, a scale of 0 or less, or an overlap outside [0, 1).
    """
    _check(frame_size, input_size, scale, overlap)
    if fit is Fit.STRETCH:
        return [Tile(Rect(0, 0, *frame_size), Rect(0, 0, *input_size))]
    if fit is Fit.LETTERBOX:
        return [Tile(Rect(0, 0, *frame_size), _letterbox(frame_size, input_size))]
    columns, rows = (
        _intervals(length, room, scale, overlap)
        for length, room in zip(frame_size, input_size, strict=True)
    )
    return [
        Tile(Rect(x, y, width, height), Rect(into_x, into_y, into_width, into_height))
        for y, height, into_y, into_height in rows
        for x, width, into_x, into_width in columns
    ]


def mask_canvas(
    frame_size: Size,
    input_size: Size,
    placed: Sequence[Tile],
    masks: Mapping[int, Masks],
    classes: int = 1,
) -> Canvas:
    """The sample's masks, from those of its tiles: the largest where they overlap, else 0.

    `masks` holds, by index into `placed`, the masks (classes, h, w) of the tiles that have
    one. What lies outside a target is left out. Of several classes the surest has the pixel. The
    canvas covers the frame exactly: its pixels are those of the masks. A scaled tile that does not
    begin on a canvas pixel comes to lie up to half of one too far.

    Raises:
        ValueError: a mask of another shape.
    """
    wanted = (classes, input_size[1], input_size[0])
    corners = [_canvas_corner(tile) for tile in placed]
    targets = [tile.target for tile in placed]
    width = max(x + t.width for (x, _), t in zip(corners, targets, strict=True))
    height = max(y + t.height for (_, y), t in zip(corners, targets, strict=True))
    canvas = np.zeros((classes, height, width), np.uint8)
    for index, mask in masks.items():
        if mask.shape != wanted:
            raise ValueError(
                f"mask of tile {index}: expected shape {wanted}, the input's size for each class, "
                f"got {mask.shape}"
            )
        (x, y), t = corners[index], targets[index]
        part = canvas[:, y : y + t.height, x : x + t.width]
        np.maximum(part, mask[:, t.y : t.y + t.height, t.x : t.x + t.width], out=part)
    if classes > 1:
        canvas[canvas < canvas.max(axis=0)] = 0
    return Canvas(canvas, (frame_size[0] / width, frame_size[1] / height))


def _canvas_corner(tile: Tile) -> tuple[int, int]:
    region, target = tile.region, tile.target
    return (
        (2 * region.x * target.width + region.width) // (2 * region.width),
        (2 * region.y * target.height + region.height) // (2 * region.height),
    )


def _check(frame_size: Size, input_size: Size, scale: float, overlap: float) -> None:
    if min(frame_size) < 1:
        raise ValueError(f"frame {frame_size[0]}x{frame_size[1]}: expected 1x1 or more")
    if min(input_size) < 1:
        raise ValueError(f"input {input_size[0]}x{input_size[1]}: expected 1x1 or more")
    if scale <= 0:
        raise ValueError(f"scale {scale}: expected above 0, such as 0.5 for half the size")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap {overlap}: expected a share of the tile, 0 or more, below 1")


def _letterbox(frame_size: Size, input_size: Size) -> Rect:
    scale = min(room / length for length, room in zip(frame_size, input_size, strict=True))
    width, height = (
        min(room, max(1, round(length * scale)))
        for length, room in zip(frame_size, input_size, strict=True)
    )
    return Rect(_centred(width, input_size[0]), _centred(height, input_size[1]), width, height)


def _centred(length: int, room: int) -> int:
    return (room - length) // 2


def _intervals(
    length: int, room: int, scale: float, overlap: float
) -> list[tuple[int, int, int, int]]:
    """Along one axis: (begin, length) in the frame, (begin, length) in the input."""
    whole = math.ceil(length * scale)
    piece = max(1, round(room / scale))
    if whole <= room or piece >= length:
        return [(0, length, _centred(min(whole, room), room), min(whole, room))]
    shared = min(math.ceil(piece * overlap), piece - 1)
    steps = math.ceil((length - piece) / (piece - shared))
    return [(i * (length - piece) // steps, piece, 0, room) for i in range(steps + 1)]
