"""What defectgate uses of `pycuda.driver`, as pycuda 2024.1 has it, over the stand-in driver.

The GPU is what `SIMULATED_GPU` says: name, compute capability, multiprocessors, driver.
"""

import atexit
import ctypes
import os
import sys
import time

import numpy as np

try:
    library = ctypes.CDLL("libcuda.so.1")
except OSError as error:  # as pycuda's own extension module says it
    raise ImportError(str(error)) from error

DEFAULT_GPU = "Orin,8.7,8,12060"
library.standin_misuse.restype = ctypes.c_char_p
library.standin_launches.restype = ctypes.c_uint64
library.standin_context.restype = ctypes.c_void_p
library.standin_room.restype = ctypes.c_size_t
library.standin_blocks.restype = ctypes.c_size_t


class Error(Exception):
    """Of CUDA."""


class LogicError(Error):
    """Wrong use."""


class MemoryError(Error):  # noqa: A001 - pycuda's name
    """No memory."""


class LaunchError(Error):
    """The device failed."""


def _gpu():
    name, capability, processors, driver = os.environ.get("SIMULATED_GPU", DEFAULT_GPU).split(",")
    return name, tuple(map(int, capability.split("."))), int(processors), int(driver)


@atexit.register
def _require_no_context():
    """Pycuda's own C++ aborts the process, where the tests ask for it."""
    if os.environ.get("SIMULATED_EXIT") == "strict" and library.standin_context():
        sys.stderr.write("PyCUDA ERROR: The context stack was not empty upon module cleanup.\n")
        sys.stderr.flush()
        os._exit(134)


def check(code, call):
    """Raise what a code of CUDA's means."""
    if code == 0:
        return
    kind = {2: MemoryError, 719: LaunchError, 700: LaunchError}.get(code, LogicError)
    raise kind(f"{call} failed: {code}")


def init():
    if os.environ.get("SIMULATED_GPU") == "none":
        raise LogicError("cuInit failed: no CUDA-capable device is detected")
    check(library.cuInit(0), "cuInit")


def get_driver_version():
    return _gpu()[3]


class ctx_flags:  # noqa: N801 - pycuda's name
    SCHED_SPIN = 1
    SCHED_BLOCKING_SYNC = 4
    MAP_HOST = 8


class host_alloc_flags:  # noqa: N801 - pycuda's name
    DEVICEMAP = 2


class device_attribute:  # noqa: N801 - pycuda's name
    MULTIPROCESSOR_COUNT = 16


class Device:
    """The one GPU."""

    def __init__(self, number):
        assert number == 0

    def name(self):
        return _gpu()[0]

    def compute_capability(self):
        return _gpu()[1]

    def get_attribute(self, attribute):
        assert attribute == device_attribute.MULTIPROCESSOR_COUNT
        return _gpu()[2]

    def make_context(self, flags=0):
        assert flags & ctx_flags.MAP_HOST
        return Context(flags)


class Context:
    """Current from its making on, until it is detached."""

    def __init__(self, flags):
        handle = ctypes.c_void_p()
        check(library.cuCtxCreate_v2(ctypes.byref(handle), flags, 0), "cuCtxCreate")
        self._handle = handle

    def detach(self):
        from tensorrt import require_none_alive

        require_none_alive(self._handle.value)
        handle, self._handle = self._handle, None
        assert handle, "context.detach: cannot detach from invalid context"
        check(library.cuCtxDestroy_v2(handle), "cuCtxDestroy")


class Stream:
    """A stream of the current context."""

    handle = None

    def __init__(self, flags=0):
        handle = ctypes.c_void_p()
        check(library.cuStreamCreate(ctypes.byref(handle), flags), "cuStreamCreate")
        self.handle = handle.value

    def synchronize(self):
        check(library.cuStreamSynchronize(ctypes.c_void_p(self.handle)), "cuStreamSynchronize")

    def __del__(self):
        if self.handle:
            library.cuStreamDestroy_v2(ctypes.c_void_p(self.handle))


class DeviceAllocation:
    """Memory of the device."""

    def __init__(self, size):
        address = ctypes.c_uint64()
        check(library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size)), "cuMemAlloc")
        self._address = address.value

    def __int__(self):
        return self._address

    def free(self):
        address, self._address = self._address, None
        check(library.cuMemFree_v2(ctypes.c_uint64(address)), "cuMemFree")


def mem_alloc(size):
    return DeviceAllocation(size)


class PagelockedHostAllocation:
    """Memory of the host that the device sees."""

    def __init__(self, size, flags):
        start = ctypes.c_void_p()
        code = library.cuMemHostAlloc(ctypes.byref(start), ctypes.c_size_t(size), flags)
        check(code, "cuMemHostAlloc")
        self._start = start.value
        self.__array_interface__ = {
            "data": (start.value, False),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }

    def get_device_pointer(self):
        return self._start

    def free(self):
        start, self._start = self._start, None
        check(library.cuMemFreeHost(ctypes.c_void_p(start)), "cuMemFreeHost")


class _Based(np.ndarray):
    """An array whose `base` is the allocation, as numpy gives it to pycuda's own."""

    base = None


def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
    assert order == "C"
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    allocation = PagelockedHostAllocation(size, mem_flags)
    array = np.asarray(allocation).view(dtype).reshape(shape).view(_Based)
    array.base = allocation
    return array


class Event:
    """A moment in a stream: when the work before it is done."""

    def __init__(self):
        self._at = None

    def record(self, stream):
        from tensorrt import enqueue

        enqueue(self._reach, stream.handle)

    def _reach(self):
        self._at = time.perf_counter()

    def time_since(self, event):
        if None in {self._at, event._at}:
            raise LogicError("cuEventElapsedTime failed: 600")
        return 1000 * (self._at - event._at)


def memcpy_dtod_async(dest, src, size, stream=None):
    from tensorrt import enqueue_copy

    enqueue_copy(int(dest), int(src), size, stream.handle)
