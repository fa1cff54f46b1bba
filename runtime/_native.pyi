# The whole border between Python and C, on one page. All of it releases the GIL. Any buffer of
# unsigned bytes will do for an array; what does not fit raises ValueError.

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Bytes: TypeAlias = npt.NDArray[np.uint8]

GREY: int
BGR: int
YUYV: int
RGB: int
UYVY: int
NV12: int
Y10: int
Y12: int
Y16: int
Y10P: int
RGGB8: int
GRBG8: int
GBRG8: int
BGGR8: int
RGGB10: int
GRBG10: int
GBRG10: int
BGGR10: int
RGGB10P: int
GRBG10P: int
GBRG10P: int
BGGR10P: int

def preprocess(
    frame: _Bytes,
    format: int,  # noqa: A002, the word of cameras
    region: tuple[int, int, int, int],
    out: _Bytes,
    target: tuple[int, int, int, int],
    fill: int,
    turn: tuple[int, bool] = (0, False),
    plain: bool = False,  # for tests: without the CPU's own kernels
) -> None: ...
def components(
    mask: _Bytes,
    threshold: int,
    min_area: float,
    scale: tuple[float, float],
    kept: _Bytes | None = None,
    most: int = 0,
) -> tuple[list[tuple[int, int, int, int, int, float, float, int, float, float]], int]: ...
def rle(mask: _Bytes) -> str: ...
