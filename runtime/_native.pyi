# The whole border between Python and C, on one page. All of it releases the GIL. Any buffer of
# unsigned bytes will do for an array; what does not fit raises ValueError.

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

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

# A camera; `fd` is open with os.O_RDWR | os.O_NONBLOCK. What the driver refuses raises OSError.

class Shot:  # a frame in its driver's buffer, which is lent as long as a view of it lives
    number: int
    dropped: int
    t_ns: int
    is_broken: bool
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Capture:
    width: int
    height: int
    fourcc: int
    stride: int
    fps: float
    def __new__(
        cls,
        fd: int,
        width: int = 0,
        height: int = 0,
        fourcc: int = 0,
        fps: float = 0.0,
        cpu: int = -1,
    ) -> Self: ...
    def take(self, timeout_ms: int, /) -> Shot | None: ...
    def close(self) -> None: ...

_Rates: TypeAlias = list[tuple[float, float]]  # least, most
_Sizes: TypeAlias = list[tuple[int, int, int, int, _Rates]]  # least width, height, most, rates
_Control: TypeAlias = tuple[  # id, name, kind, flags, least, most, step, preset, value, menu
    int, str, int, int, int, int, int, int, int | None, dict[int, str]
]

def camera_about(fd: int, /) -> tuple[str, str, str]: ...  # driver, card, bus
def camera_formats(fd: int, /) -> list[tuple[int, str, _Sizes]]: ...  # fourcc, text, sizes
def camera_controls(fd: int, /) -> list[_Control]: ...
def set_control(fd: int, id: int, value: int, /) -> None: ...  # noqa: A002, the kernel's word

# CUDA graphs (replay.h): a capsule is libcuda, pointers are integers, 0 is none. What CUDA
# refuses is a RuntimeError, and a wait that takes too long a TimeoutError.

_Cuda: TypeAlias = object

def cuda_open(library: str, /) -> _Cuda: ...
def capture_begin(cuda: _Cuda, stream: int, /) -> None: ...
def capture_end(cuda: _Cuda, stream: int, /) -> int: ...
def graph_free(cuda: _Cuda, graph: int, /) -> None: ...
def graph_launch(cuda: _Cuda, graph: int, stream: int, /) -> None: ...
def stream_wait(cuda: _Cuda, stream: int, spin: bool, limit_s: float, /) -> None: ...
def replay(
    cuda: _Cuda,
    stream: int,
    gate: int,
    scores: npt.NDArray[np.float32],
    masks: tuple[int, ...],
    threshold: float,
    spin: bool,
    limit_s: float,
    /,
) -> bytes: ...
