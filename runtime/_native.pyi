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
