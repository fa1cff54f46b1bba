"""The NVIDIA GPU: what it is, and a context, a stream and memory on it; pycuda owns them."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineError

L4T_RELEASE = Path("/etc/nv_tegra_release")
PYCUDA_MEND = "pip install pycuda, which needs the CUDA toolkit (nvcc in PATH)"


@dataclass(frozen=True)
class Device:
    """What a plan belongs to; `l4t` is empty where this is no Jetson."""

    tensorrt: str
    cuda: str
    l4t: str
    gpu: str


def this_device() -> Device:
    """TensorRT, CUDA driver, L4T and GPU of this machine.

    Raises:
        EngineError: TensorRT, pycuda, the driver or a GPU is missing.
    """
    cuda, trt = pycuda_driver(), tensorrt()
    driver = cuda.get_driver_version()
    gpu = cuda.Device(0)
    capability = ".".join(map(str, gpu.compute_capability()))
    processors = gpu.get_attribute(cuda.device_attribute.MULTIPROCESSOR_COUNT)
    return Device(
        tensorrt=trt.__version__,
        cuda=f"{driver // 1000}.{driver % 1000 // 10}",
        l4t=_l4t(),
        gpu=f"{gpu.name()} {capability} with {processors} SM",
    )


def _l4t() -> str:
    """From a first line such as `# R36 (release), REVISION: 4.3, GCID: ...`: 36.4.3."""
    try:
        words = L4T_RELEASE.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return ""
    return f"{words[1].lstrip('R')}.{words[words.index('REVISION:') + 1].rstrip(',')}"


def tensorrt() -> ModuleType:
    """The TensorRT package.

    Raises:
        EngineError: it is not there.
    """
    try:
        import tensorrt as trt
    except ImportError as error:
        raise EngineError(
            f"TensorRT cannot be imported ({error}); on a Jetson run jetson/install.sh, on a "
            "workstation pip install tensorrt"
        ) from error
    return trt  # type: ignore[no-any-return]


def listener() -> Any:
    """A logger for TensorRT; `said` is its first error since the last time it was read."""
    trt: Any = tensorrt()

    class Listener(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR}:
                self._errors.append(" ".join(message.split()))

        @property
        def said(self) -> str:
            first = self._errors[0] if self._errors else "it gave no reason"
            self._errors.clear()
            return first

    return Listener()


def pycuda_driver() -> ModuleType:
    """Pycuda's driver module, ready for use.

    Raises:
        EngineError: pycuda, the driver or a GPU is not there.
    """
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError as error:
        raise EngineError(f"pycuda is not installed; {PYCUDA_MEND}") from error
    except ImportError as error:
        raise EngineError(f"pycuda finds no NVIDIA driver ({error}); install it") from error
    try:
        cuda.init()
    except cuda.Error as error:
        raise EngineError(f"no GPU answers ({error}); see nvidia-smi, or tegrastats") from error
    return cuda  # type: ignore[no-any-return]


class Gpu:
    """A CUDA context of our own, a stream in it, and the memory that is asked for.

    It is for the thread that made it. Its faults are `Gpu.faults`.
    """

    def __init__(self, *, spin: bool) -> None:
        self._cuda = cuda = pycuda_driver()
        self.faults = (cuda.Error, RuntimeError, TimeoutError)
        flags = cuda.ctx_flags.MAP_HOST
        flags |= cuda.ctx_flags.SCHED_SPIN if spin else cuda.ctx_flags.SCHED_BLOCKING_SYNC
        self._memory: list[Any] = []
        self._context = cuda.Device(0).make_context(flags)
        self._stream: Any = None
        try:
            self._stream = cuda.Stream()
        except cuda.Error:
            self.close()
            raise

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return int(self._stream.handle)

    def allocate(self, size: int) -> int:
        """The address of `size` bytes of device memory."""
        self._memory.append(self._cuda.mem_alloc(size))
        return int(self._memory[-1])

    def map(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], int]:
        """An array in host memory, and the address at which the GPU sees it."""
        mapped = self._cuda.host_alloc_flags.DEVICEMAP
        array = self._cuda.pagelocked_empty(shape, np.dtype(dtype), mem_flags=mapped)
        self._memory.append(array.base)
        return array, int(array.base.get_device_pointer())

    def copy(self, to: int, start: int, size: int) -> None:
        """Enqueue a copy in device memory."""
        self._cuda.memcpy_dtod_async(to, start, size, self._stream)

    def mark(self) -> Any:
        """An event of pycuda's, after what was enqueued so far."""
        event = self._cuda.Event()
        event.record(self._stream)
        return event

    def synchronize(self) -> None:
        """Wait for the stream, however long it takes."""
        self._stream.synchronize()

    def close(self) -> None:
        """Give everything back; after a fault of the GPU, as much as it takes."""
        for memory in self._memory:
            with contextlib.suppress(*self.faults):
                memory.free()
        self._memory.clear()
        self._stream = None
        if self._context is not None:
            context, self._context = self._context, None
            with contextlib.suppress(*self.faults):
                context.detach()
