# The whole border between Python and C, on one page. All of it releases the GIL. Any buffer of
# unsigned bytes will do for an array; what does not fit raises ValueError.

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Bytes: TypeAlias = npt.NDArray[np.uint8]

GREY: int
BGR: int
YUYV: int

def preprocess(
    frame: _Bytes,
    format: int,  # noqa: A002, the word of cameras
    region: tuple[int, int, int, int],
    out: _Bytes,
    target: tuple[int, int, int, int],
    fill: int,
) -> None: ...
def components(
    mask: _Bytes,
    threshold: int,
    min_area: float,
    scale: tuple[float, float],
    kept: _Bytes | None = None,
) -> list[tuple[int, int, int, int, int, float, float, int]]: ...
