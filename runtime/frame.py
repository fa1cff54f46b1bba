"""One frame on its way from a source to its verdict."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.preprocess import UPRIGHT, PixelFormat, Rect, Tile, Turn, preprocess


@dataclass(frozen=True)
class Frame:
    """Pixels as the source gave them, and where and when they came from.

    `pixels` is uint8 of the shape that `format` says, or None where the source could not read the
    frame: `fault` then says why. They are judged and shown after `turn`, and of the turned ones
    those in `crop` alone. `dropped` counts the frames that were passed over since the one before.
    """

    pixels: npt.NDArray[np.uint8] | None
    format: PixelFormat
    source: str
    seq: int
    t_capture_ns: int
    dropped: int = 0
    fault: str | None = None
    turn: Turn = UPRIGHT
    crop: Rect | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) once it is turned and cropped; (0, 0) without pixels."""
        if self.pixels is None:
            return 0, 0
        if self.crop:
            return self.crop.width, self.crop.height
        return self.turn.size(self.format.size(self.pixels.shape))

    def preprocess(self, tile: Tile, out: npt.NDArray[np.uint8]) -> None:
        """`runtime.preprocess.preprocess` of a tile, whose region is one of `size`."""
        if self.crop:
            region = tile.region
            x, y = self.crop.x + region.x, self.crop.y + region.y
            tile = Tile(Rect(x, y, region.width, region.height), tile.target)
        preprocess(np.asarray(self.pixels), self.format, tile, out, turn=self.turn)
