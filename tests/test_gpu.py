"""CUDA graphs on a real GPU and driver, replayed by C; their work is copies, so no TensorRT."""

import numpy as np
import pytest

from runtime import _native
from runtime.gpu import Gpu
from runtime.tensorrt_engine import LIBCUDA

pytestmark = pytest.mark.gpu

TILES, PIXELS = 3, 64 * 64
PATIENCE_S = 10.0
ASLEEP = False


@pytest.fixture
def gpu(pycuda_driver):
    del pycuda_driver  # skips where there is none
    gpu = Gpu(spin=False)
    yield gpu
    gpu.close()


@pytest.fixture
def cuda(gpu):
    del gpu  # comes first
    return _native.cuda_open(LIBCUDA)


def captured(cuda, gpu, *copies):
    """A graph of copies (to, start, size)."""
    _native.capture_begin(cuda, gpu.stream)
    for copy in copies:
        gpu.copy(*copy)
    return _native.capture_end(cuda, gpu.stream)


@pytest.mark.parametrize("spin", [False, True])
def test_a_thousand_replays_draw_the_tiles_that_open(gpu, cuda, spin):
    """The gate copies image and scores to the device, a mask copies its tile to the host."""
    rng = np.random.default_rng(0)
    image, image_at = gpu.map((TILES, PIXELS), np.uint8)
    given, given_at = gpu.map((TILES, 2), np.float32)
    scores, scores_at = gpu.map((TILES, 2), np.float32)
    masks, masks_at = gpu.map((TILES, PIXELS), np.uint8)
    skips = gpu.allocate(image.nbytes)
    gate = captured(cuda, gpu, (skips, image_at, image.nbytes), (scores_at, given_at, given.nbytes))
    heads = tuple(
        captured(cuda, gpu, (masks_at + start, skips + start, PIXELS))
        for start in range(0, image.nbytes, PIXELS)
    )
    for _ in range(1000):
        image[...] = rng.integers(1, 256, image.shape, np.uint8)
        given[...] = rng.random(given.shape, np.float32)
        scores[...], masks[...] = -1, 0
        opened = given.max(axis=1) >= 0.75
        arguments = (gate, scores, heads, 0.75, spin, PATIENCE_S)
        assert list(_native.replay(cuda, gpu.stream, *arguments)) == opened.tolist()
        np.testing.assert_array_equal(scores, given)
        _native.stream_wait(cuda, gpu.stream, spin, PATIENCE_S)
        np.testing.assert_array_equal(masks, image * opened[:, None])
    masks[...] = 0
    _native.graph_launch(cuda, heads[1], gpu.stream)
    _native.stream_wait(cuda, gpu.stream, spin, PATIENCE_S)
    np.testing.assert_array_equal(masks[1], image[1])
    for graph in (gate, *heads):
        _native.graph_free(cuda, graph)


def test_work_that_takes_too_long_is_late_and_done_in_the_end(gpu, cuda):
    size = 1 << 28
    slow = captured(cuda, gpu, *[(gpu.allocate(size), gpu.allocate(size), size)] * 200)
    scores, _ = gpu.map((1, 1), np.float32)
    with pytest.raises(TimeoutError, match="the GPU did not answer in time"):
        _native.replay(cuda, gpu.stream, slow, scores, (), 0.5, ASLEEP, 0.001)
    _native.stream_wait(cuda, gpu.stream, ASLEEP, PATIENCE_S)
    _native.graph_free(cuda, slow)


def test_a_capture_that_fails_leaves_a_stream_that_works(gpu, cuda):
    with pytest.raises(RuntimeError, match="cuStreamEndCapture: CUDA_ERROR_"):
        _native.capture_end(cuda, gpu.stream)
    _native.capture_begin(cuda, gpu.stream)
    with pytest.raises(gpu.faults):
        gpu.synchronize()
    with pytest.raises(RuntimeError, match=r"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED \(901\)"):
        _native.capture_end(cuda, gpu.stream)
    gpu.copy(gpu.allocate(1024), gpu.allocate(1024), 1024)
    _native.stream_wait(cuda, gpu.stream, ASLEEP, PATIENCE_S)


def test_after_a_fault_a_context_can_be_made_anew(pycuda_driver, gpu_fault):
    for _ in range(2):
        gpu = Gpu(spin=False)
        gpu_fault()
        with pytest.raises((RuntimeError, pycuda_driver.Error), match=r"(?i)illegal.(mem|addr)"):
            copy_and_wait(gpu)
        gpu.close()
    gpu = Gpu(spin=False)
    copy_and_wait(gpu)
    gpu.close()


def copy_and_wait(gpu):
    gpu.copy(gpu.allocate(1024), gpu.allocate(1024), 1024)
    _native.stream_wait(_native.cuda_open(LIBCUDA), gpu.stream, ASLEEP, PATIENCE_S)
