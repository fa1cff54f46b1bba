"""What of the GPU's driver and packages may be missing or fail, against the strict stand-in."""

import sys

import numpy as np
import pytest

from runtime.errors import EngineError
from runtime.gpu import Gpu, pycuda_driver, tensorrt, this_device
from runtime.tensorrt_engine import TensorRtEngine


def driver():
    return sys.modules["pycuda.driver"].library


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("tensorrt", r"TensorRT cannot be imported .*jetson/install\.sh"),
        ("pycuda.driver", r"pycuda is not installed; pip install pycuda"),
    ],
)
def test_a_package_that_is_missing_says_the_mend(simulated, module, said):
    simulated("10.3.0")
    sys.modules[module] = None
    with pytest.raises(EngineError, match=said):
        this_device()


def test_a_missing_driver_is_not_a_missing_package(simulated, monkeypatch):
    simulated("10.3.0")
    for name in ("pycuda", "pycuda.driver"):
        del sys.modules[name]

    def no_driver(name, *_):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("ctypes.CDLL", no_driver)
    with pytest.raises(EngineError, match=r"pycuda finds no NVIDIA driver \(libcuda.so.1: cannot"):
        pycuda_driver()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n", "36.4.3"),
        (None, ""),
    ],
)
def test_the_device_is_what_a_plan_belongs_to(simulated, monkeypatch, tmp_path, text, expected):
    simulated("10.3.0")
    release = tmp_path / "nv_tegra_release"
    if text:
        release.write_text(text, encoding="ascii")
    monkeypatch.setattr("runtime.gpu.L4T_RELEASE", release)
    device = this_device()
    assert device.l4t == expected
    assert device.gpu == "Orin 8.7 with 8 SM"
    assert (device.tensorrt, device.cuda) == (tensorrt().__version__, "12.6")


def test_the_gpu_gives_aligned_memory_and_forgets_nothing(simulated):
    simulated("10.3.0")
    gpu = Gpu(spin=False)
    assert gpu.allocate(1) % 256 == 0
    array, address = gpu.map((3, 2), np.float32)
    assert array.shape == (3, 2)
    assert address % 256 == 0
    gpu.close()
    assert driver().standin_blocks() == 0


def test_a_context_without_a_stream_is_given_back(simulated):
    simulated("10.3.0")
    cuda = pycuda_driver()
    driver().standin_fail(b"cuStreamCreate", 2, 0)
    with pytest.raises(cuda.Error, match=r"^cuStreamCreate failed: 2$"):
        Gpu(spin=False)
    assert driver().standin_context() is None
    driver().standin_reset()


def test_a_driver_that_lacks_a_call_is_an_error_of_ours(simulated, monkeypatch):
    simulated("10.3.0")
    monkeypatch.setattr("runtime.tensorrt_engine.LIBCUDA", "libm.so.6")
    said = r"^tensorrt: libm\.so\.6: cuStreamBeginCapture_v2 was not found$"
    with pytest.raises(EngineError, match=said):
        TensorRtEngine({"gate": b"", "mask": b""}, 0.5, "int8")
    assert driver().standin_context() is None
