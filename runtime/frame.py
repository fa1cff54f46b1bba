"""One frame on its way from a source to its verdict."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.preprocess import PixelFormat


@dataclass(frozen=True)
class Frame:
    """Pixels as the source gave them, and where and when they came from.

    `pixels` is uint8: (H, W) for GREY, (H, W, 3) for BGR, (H, W, 2) for YUYV, or None where the
    source could not read the frame: `fault` then says why. `dropped` counts the frames that were
    passed over since the one before.
    """

    pixels: npt.NDArray[np.uint8] | None
    format: PixelFormat
    source: str
    seq: int
    t_capture_ns: int
    dropped: int = 0
    fault: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height); (0, 0) without pixels."""
        return (0, 0) if self.pixels is None else (self.pixels.shape[1], self.pixels.shape[0])
