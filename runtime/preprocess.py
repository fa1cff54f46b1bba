"""From a camera's pixels to the network's input, in one pass of C: crop, turn, resize, colour."""

import enum
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime import _native

Pixels = npt.NDArray[np.uint8]


class PixelFormat(enum.Enum):
    """How a frame's bytes lie (runtime/native/preprocess.h); `shape` is that of their array."""

    GREY = _native.GREY
    Y10 = _native.Y10
    Y12 = _native.Y12
    Y16 = _native.Y16
    Y10P = _native.Y10P
    YUYV = _native.YUYV
    UYVY = _native.UYVY
    NV12 = _native.NV12
    RGB = _native.RGB
    BGR = _native.BGR
    RGGB8 = _native.RGGB8
    GRBG8 = _native.GRBG8
    GBRG8 = _native.GBRG8
    BGGR8 = _native.BGGR8
    RGGB10 = _native.RGGB10
    GRBG10 = _native.GRBG10
    GBRG10 = _native.GBRG10
    BGGR10 = _native.BGGR10
    RGGB10P = _native.RGGB10P
    GRBG10P = _native.GRBG10P
    GBRG10P = _native.GBRG10P
    BGGR10P = _native.BGGR10P

    @property
    def is_packed(self) -> bool:
        """Whether five bytes of a row hold four pixels."""
        return self.name.endswith("10P")

    @property
    def bytes_per_pixel(self) -> int:
        """The last axis of the array, which is left out where it is 1."""
        if self in {PixelFormat.RGB, PixelFormat.BGR}:
            return 3
        in_twos = {PixelFormat.YUYV, PixelFormat.UYVY, PixelFormat.Y12, PixelFormat.Y16}
        return 2 if self in in_twos or self.name.endswith("10") else 1

    def shape(self, width: int, height: int) -> tuple[int, ...]:
        """The shape of the uint8 array that holds a frame.

        (H, W), (H, W, 2) or (H, W, 3); (H * 3/2, W) in NV12, where the rows of U V follow those of
        Y; (H, W * 5/4) where it is packed.
        """
        if self is PixelFormat.NV12:
            return height * 3 // 2, width
        if self.is_packed:
            return height, width * 5 // 4
        depth = self.bytes_per_pixel
        return (height, width) if depth == 1 else (height, width, depth)

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """(width, height) of the frame in an array of this shape."""
        height, width = shape[:2]
        if self is PixelFormat.NV12:
            return width, height * 2 // 3
        return (width * 4 // 5 if self.is_packed else width), height


@dataclass(frozen=True)
class Turn:
    """How a frame is seen: turned clockwise by quarters, 0 to 3, then mirrored left to right."""

    quarters: int = 0
    mirrored: bool = False

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of a frame of this size once it is turned."""
        return size[::-1] if self.quarters % 2 else size


UPRIGHT = Turn()


@dataclass(frozen=True)
class Rect:
    """A rectangle of whole pixels; (x, y) is its upper left one."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Tile:
    """A piece of a sample: the `region` of the frame fills the `target` of the network's input."""

    region: Rect
    target: Rect


def preprocess(
    frame: Pixels,
    format: PixelFormat,  # noqa: A002, the word of cameras and of Frame.format
    tile: Tile,
    out: Pixels,
    fill: int = 0,
    turn: Turn = UPRIGHT,
) -> None:
    """Write the tile of `frame` into `out` (H, W, C), `fill` around it; C is 1 (grey) or 3 (RGB).

    The tile's region is one of the turned frame. Shrinking averages over area, enlarging
    interpolates; runtime/native/preprocess.h has the definition to the bit. The rows of `frame`
    may have gaps between them. Any thread may call.

    Raises:
        ValueError: an array or a rectangle that does not fit, or more than 128 times smaller.
        MemoryError: there is no room for a few rows.
    """
    region, target = tile.region, tile.target
    _native.preprocess(
        frame,
        format.value,
        (region.x, region.y, region.width, region.height),
        out,
        (target.x, target.y, target.width, target.height),
        fill,
        (turn.quarters, turn.mirrored),
    )


@functools.cache
def preprocess_digest() -> str:
    """The sha256 of what preprocessing makes of a fixed pattern: another bit, another digest.

    The pattern is in the three formats that networks are taught and proven with.
    """
    digest = hashlib.sha256()
    size = 60, 38
    for pixel_format in (PixelFormat.GREY, PixelFormat.BGR, PixelFormat.YUYV):
        frame = _pattern(pixel_format.shape(*size))
        for channels in (1, 3):
            for target in (Rect(2, 4, 18, 14), Rect(4, 2, 90, 70)):
                out = np.empty((76, 98, channels), np.uint8)
                preprocess(frame, pixel_format, Tile(Rect(3, 1, 53, 37), target), out, fill=7)
                digest.update(out.tobytes())
    return digest.hexdigest()


def _pattern(shape: tuple[int, ...]) -> Pixels:
    """Noise over the whole range, the same on every machine and in every version of numpy."""
    index = np.arange(np.prod(shape), dtype=np.uint64)
    noise: Pixels = ((index * np.uint64(2654435761) + np.uint64(12345)) >> np.uint64(11)).astype(
        np.uint8
    )
    return noise.reshape(shape)
