"""One frame on its way from a source to its verdict."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.preprocess import UPRIGHT, PixelFormat, Turn


@dataclass(frozen=True)
class Frame:
    """Pixels as the source gave them, and where and when they came from.

    `pixels` is uint8 of the shape that `format` says, or None where the source could not read the
    frame: `fault` then says why. They are judged and shown after `turn`. `dropped` counts the
    frames that were passed over since the one before.
    """

    pixels: npt.NDArray[np.uint8] | None
    format: PixelFormat
    source: str
    seq: int
    t_capture_ns: int
    dropped: int = 0
    fault: str | None = None
    turn: Turn = UPRIGHT

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) once it is turned; (0, 0) without pixels."""
        if self.pixels is None:
            return 0, 0
        return self.turn.size(self.format.size(self.pixels.shape))
