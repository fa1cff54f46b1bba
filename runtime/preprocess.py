"""From a camera's pixels to the network's input, in one pass of C: crop, resize, colour."""

import enum
import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime import _native

Pixels = npt.NDArray[np.uint8]


class PixelFormat(enum.Enum):
    """How a frame's bytes lie, each as uint8: (H, W), (H, W, 3) and (H, W, 2)."""

    GREY = _native.GREY
    BGR = _native.BGR
    YUYV = _native.YUYV

    @property
    def bytes_per_pixel(self) -> int:
        """1, 3 or 2."""
        return {PixelFormat.GREY: 1, PixelFormat.BGR: 3, PixelFormat.YUYV: 2}[self]


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
) -> None:
    """Write the tile of `frame` into `out` (H, W, C), `fill` around it; C is 1 (grey) or 3 (RGB).

    Shrinking averages over area, enlarging interpolates; runtime/native/preprocess.h has the
    definition to the bit. The rows of `frame` may have gaps between them. Any thread may call.

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
    )


@functools.cache
def preprocess_digest() -> str:
    """The sha256 of what preprocessing makes of a fixed pattern: another bit, another digest."""
    digest = hashlib.sha256()
    size = 60, 38
    for pixel_format in PixelFormat:
        frame = _pattern(size[0], size[1], pixel_format)
        for channels in (1, 3):
            for target in (Rect(2, 4, 18, 14), Rect(4, 2, 90, 70)):
                out = np.empty((76, 98, channels), np.uint8)
                preprocess(frame, pixel_format, Tile(Rect(3, 1, 53, 37), target), out, fill=7)
                digest.update(out.tobytes())
    return digest.hexdigest()


def _pattern(width: int, height: int, pixel_format: PixelFormat) -> Pixels:
    """Noise over the whole range, the same on every machine and in every version of numpy."""
    channels = pixel_format.bytes_per_pixel
    index = np.arange(width * height * channels, dtype=np.uint64)
    noise: Pixels = ((index * np.uint64(2654435761) + np.uint64(12345)) >> np.uint64(11)).astype(
        np.uint8
    )
    shape = (height, width) if channels == 1 else (height, width, channels)
    return noise.reshape(shape)
