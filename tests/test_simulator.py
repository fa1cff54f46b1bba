"""The stand-in for TensorRT and CUDA is strict: every planted misuse is caught.

Else what the other tests show against it would be worth nothing.
"""

import ctypes
import gc
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime import _native

SURFACE = json.loads(
    (Path(__file__).parent / "simulated" / "api_surface.json").read_text(encoding="utf-8")
)
RELEASES = SURFACE["releases"]


@pytest.fixture
def trt(simulated):
    """The stand-in for TensorRT 10.3."""
    return simulated("10.3.0")


@pytest.fixture
def gpu(trt):
    """A context and a stream."""
    cuda = trt.driver
    cuda.init()
    context = cuda.Device(0).make_context(cuda.ctx_flags.MAP_HOST)
    context.stream = cuda.Stream()
    yield context
    trt.misuse()
    context.detach()
    trt.misuse()


def logger_of(trt):
    class Logger(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)
            self.said = []

        def log(self, severity, message):
            del severity
            self.said.append(message)

    return Logger()


def plain_model():
    """`twice` is two times `image`, (N, 64)."""
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 64])]
        for name in ("image", "twice")
    ]
    graph = helper.make_graph([helper.make_node("Add", ["image"] * 2, ["twice"])], "p", *sides)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def parsed(trt, builder, logger, *, flags=0):
    made = builder.create_network(flags)
    parser = trt.OnnxParser(made, logger)
    assert parser.parse(plain_model())
    return made, parser


def plan_of(trt):
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    made, parser = parsed(trt, builder, logger)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", (1, 64), (2, 64), (2, 64))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(made, config)
    del parser
    return bytes(plan)


class Ready:
    """A context with everything that it needs, and what holds it."""

    def __init__(self, trt, *, alive=True):
        self.trt, self.logger = trt, logger_of(trt)
        self.engine = trt.Runtime(self.logger).deserialize_cuda_engine(plan_of(trt))
        managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self.context = self.engine.create_execution_context(managed)
        self.buffers = [trt.driver.mem_alloc(2 * 64 * 4) for _ in range(2)]
        self.scratch = trt.driver.mem_alloc(self.engine.device_memory_size_v2)
        if alive:
            self.context.set_input_shape("image", (2, 64))
            for name, buffer in zip(("image", "twice"), self.buffers, strict=True):
                self.context.set_tensor_address(name, int(buffer))
            self.context.set_device_memory(int(self.scratch), self.engine.device_memory_size_v2)

    def capture(self, stream):
        """A graph that may be launched."""
        assert self.context.execute_async_v3(stream.handle)
        stream.synchronize()
        cuda = _native.cuda_open("libcuda.so.1")
        _native.capture_begin(cuda, stream.handle)
        assert self.context.execute_async_v3(stream.handle)
        return cuda, _native.capture_end(cuda, stream.handle)


@pytest.mark.parametrize("release", RELEASES)
def test_it_has_the_names_of_one_release_and_no_others(simulated, release):
    trt = simulated(release)
    for cls, groups in SURFACE["classes"].items():
        here = {n for r, names in groups.items() if release in r.split() for n in names.split()}
        if not here:
            assert not hasattr(trt, cls)
            continue
        other = {n for names in groups.values() for n in names.split()} - here
        for name in other:
            assert not hasattr(getattr(trt, cls), name), (cls, name)


def test_names_of_other_releases_are_refused_on_instances_too(simulated):
    trt = simulated("11.4.0.106")
    config = trt.Builder(logger_of(trt)).create_builder_config()
    with pytest.raises(AttributeError, match=r"11.4.0.106: IBuilderConfig has no int8_calibrator"):
        config.int8_calibrator = None
    with pytest.raises(AttributeError, match=r"has no max_workspace_size"):
        _ = config.max_workspace_size
    trt = simulated("8.6.1")
    assert not hasattr(trt, "IProgressMonitor")
    assert not hasattr(trt, "ExecutionContextAllocationStrategy")
    assert trt.BuilderFlag.FP16 is not None


def test_what_is_right_is_computed_late_and_right(trt, gpu):
    ready = Ready(trt)
    given, made = (
        np.frombuffer((ctypes.c_float * 128).from_address(int(buffer)), np.float32)
        for buffer in ready.buffers
    )
    given[:], made[:] = 3, 0
    assert ready.context.execute_async_v3(gpu.stream.handle)
    assert made.max() == 0  # nobody waited
    gpu.stream.synchronize()
    assert set(made) == {6}
    assert trt.misuse() is None


@pytest.mark.parametrize("lacks", ["shape", "address", "scratch"])
def test_a_context_that_lacks_something(trt, gpu, lacks):
    ready = Ready(trt, alive=False)
    if lacks != "shape":
        ready.context.set_input_shape("image", (2, 64))
    ready.context.set_tensor_address("image", int(ready.buffers[0]))
    if lacks != "address":
        ready.context.set_tensor_address("twice", int(ready.buffers[1]))
    if lacks != "scratch":
        ready.context.set_device_memory(int(ready.scratch), ready.engine.device_memory_size_v2)
    with pytest.raises(trt.Misuse, match=r"enqueued without"):
        ready.context.execute_async_v3(gpu.stream.handle)


def test_shapes_outside_the_profile_and_unknown_tensors_are_refused(trt, gpu):
    del gpu
    ready = Ready(trt)
    assert not ready.context.set_input_shape("image", (3, 64))
    assert not ready.context.set_tensor_address("picture", int(ready.buffers[0]))


def test_addresses_that_are_not_aligned(trt, gpu):
    del gpu
    ready = Ready(trt)
    with pytest.raises(trt.Misuse, match=r"image: address .* is not aligned to 256"):
        ready.context.set_tensor_address("image", int(ready.buffers[0]) + 128)


def test_buffers_that_are_gone_or_too_small(trt, gpu):
    ready = Ready(trt)
    small = trt.driver.mem_alloc(2 * 64 * 4 - 1)
    ready.context.set_tensor_address("image", int(small))
    with pytest.raises(trt.Misuse, match=r"image: its buffer is not alive, or too small"):
        ready.context.execute_async_v3(gpu.stream.handle)
    ready.context.set_tensor_address("image", int(ready.buffers[0]))
    ready.buffers[1].free()
    with pytest.raises(trt.Misuse, match=r"twice: its buffer is not alive"):
        ready.context.execute_async_v3(gpu.stream.handle)


@pytest.mark.parametrize("lost", ["buffer", "scratch", "context"])
def test_a_graph_whose_memory_or_context_is_gone(trt, gpu, lost):
    ready = Ready(trt)
    cuda, graph = ready.capture(gpu.stream)
    if lost == "context":
        ready.context = None
        gc.collect()
    else:
        (ready.buffers[1] if lost == "buffer" else ready.scratch).free()
    _native.graph_launch(cuda, graph, gpu.stream.handle)
    with pytest.raises(RuntimeError, match=r"CUDA_ERROR_LAUNCH_FAILED"):
        _native.stream_wait(cuda, gpu.stream.handle, 1, 1.0)
    assert {"buffer": "twice: its buffer", "scratch": "scratch", "context": "context is gone"}[
        lost
    ] in trt.misuse()


def test_scratch_that_is_too_small_or_shared_between_streams(trt, gpu):
    ready = Ready(trt)
    with pytest.raises(trt.Misuse, match=r"scratch: 16 bytes"):
        ready.context.set_device_memory(int(ready.scratch), 16)
    other = trt.driver.Stream()
    assert ready.context.execute_async_v3(gpu.stream.handle)
    with pytest.raises(trt.Misuse, match=r"two streams share scratch memory"):
        ready.context.execute_async_v3(other.handle)


def test_scratch_is_spoiled_by_each_run(trt, gpu):
    ready = Ready(trt)
    ready.context.execute_async_v3(gpu.stream.handle)
    gpu.stream.synchronize()
    spoiled = (ctypes.c_uint8 * 16).from_address(int(ready.scratch))
    assert set(spoiled) == {0x5A}


def test_a_capture_before_the_first_run(trt, gpu):
    ready = Ready(trt)
    cuda = _native.cuda_open("libcuda.so.1")
    _native.capture_begin(cuda, gpu.stream.handle)
    with pytest.raises(trt.Misuse, match=r"captured before it was enqueued once"):
        ready.context.execute_async_v3(gpu.stream.handle)
    _native.graph_free(cuda, _native.capture_end(cuda, gpu.stream.handle))


def test_a_change_after_the_capture(trt, gpu):
    ready = Ready(trt)
    ready.capture(gpu.stream)
    for change in (
        lambda: ready.context.set_input_shape("image", (1, 64)),
        lambda: ready.context.set_tensor_address("image", int(ready.buffers[0])),
        lambda: ready.context.set_device_memory(int(ready.scratch), 1 << 20),
    ):
        with pytest.raises(trt.Misuse, match=r"changed after the capture"):
            change()


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [
        (lambda cuda, _: cuda.mem_alloc(16), "memory was allocated in a capture"),
        (lambda _, stream: stream.synchronize(), "a stream was waited for in a capture"),
    ],
)
def test_what_a_capture_forbids_spoils_it(trt, gpu, forbidden, said):
    cuda = _native.cuda_open("libcuda.so.1")
    _native.capture_begin(cuda, gpu.stream.handle)
    with pytest.raises(trt.driver.LogicError):
        forbidden(trt.driver, gpu.stream)
    with pytest.raises(RuntimeError, match=r"cuStreamEndCapture: .*_CAPTURE_INVALIDATED"):
        _native.capture_end(cuda, gpu.stream.handle)
    assert trt.misuse() == said


def test_captures_that_cannot_begin_or_end(trt, gpu):
    cuda = _native.cuda_open("libcuda.so.1")
    with pytest.raises(RuntimeError, match=r"cuStreamBeginCapture"):
        _native.capture_begin(cuda, 0)
    assert trt.misuse() == "the default stream was captured"
    with pytest.raises(RuntimeError, match=r"cuStreamEndCapture"):
        _native.capture_end(cuda, gpu.stream.handle)
    assert trt.misuse() == "a capture was ended that was not begun"
    Ready(trt).context.execute_async_v3(gpu.stream.handle)
    with pytest.raises(RuntimeError, match=r"cuStreamBeginCapture"):
        _native.capture_begin(cuda, gpu.stream.handle)
    assert trt.misuse() == "a capture was begun on a stream that is at work"


def test_a_plan_of_another_release_or_gpu_or_damaged(simulated, monkeypatch):
    trt = simulated("10.3.0")
    plan = plan_of(trt)
    logger = logger_of(trt)
    assert trt.Runtime(logger).deserialize_cuda_engine(plan[:-1]) is None
    assert logger.said == ["simulated: the plan is damaged"]
    monkeypatch.setenv("SIMULATED_GPU", "Thor,11.0,20,13000")
    assert trt.Runtime(logger).deserialize_cuda_engine(plan) is None
    monkeypatch.delenv("SIMULATED_GPU")
    newer = simulated("10.13.3.9")
    logger = logger_of(newer)
    assert newer.Runtime(logger).deserialize_cuda_engine(plan) is None
    assert logger.said == ["simulated: a plan of 10.3.0 Orin (8, 7)"]


def test_a_plan_without_a_context(trt):
    with pytest.raises(trt.Misuse, match=r"loaded without a CUDA context"):
        trt.Runtime(logger_of(trt)).deserialize_cuda_engine(plan_of(trt))


def test_a_parser_that_is_gone_took_the_weights_along(trt):
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    made, parser = parsed(trt, builder, logger)
    del parser
    with pytest.raises(trt.Misuse, match=r"the parser, which owns the weights"):
        builder.build_serialized_network(made, builder.create_builder_config())


def test_a_dynamic_input_without_a_profile_is_not_built(trt):
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    made, parser = parsed(trt, builder, logger)
    assert builder.build_serialized_network(made, builder.create_builder_config()) is None
    assert logger.said == ["image: dynamic, and in no profile"]
    del parser


def test_a_base_class_that_was_not_made(trt):
    class Logger(trt.ILogger):
        def __init__(self):
            pass

    with pytest.raises(trt.Misuse, match=r"ILogger.__init__ was not called"):
        trt.Builder(Logger())


def test_flags_that_do_not_go_together(simulated):
    trt = simulated("10.13.3.9")
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    made, parser = parsed(trt, builder, logger, flags=typed)
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.FP16)
    with pytest.raises(trt.Misuse, match=r"a precision flag on a strongly typed network"):
        builder.build_serialized_network(made, config)
    del parser
    older = simulated("8.6.1")
    with pytest.raises(older.Misuse, match=r"explicit batch alone"):
        older.Builder(logger_of(older)).create_network(0)


def test_a_calibration_cache_of_another_release(trt):
    class Calibrator(trt.IInt8EntropyCalibrator2):
        def __init__(self):
            trt.IInt8EntropyCalibrator2.__init__(self)

        def read_calibration_cache(self):
            return b"TRT-8601-EntropyCalibration2\n"

    logger = logger_of(trt)
    builder = trt.Builder(logger)
    made, parser = parsed(trt, builder, logger)
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.INT8)
    config.int8_calibrator = Calibrator()
    with pytest.raises(trt.Misuse, match=r"cache is of another release"):
        builder.build_serialized_network(made, config)
    del parser


def test_memory_that_outlives_its_context_or_is_freed_twice(trt):
    cuda = trt.driver
    context = cuda.Device(0).make_context(cuda.ctx_flags.MAP_HOST)
    kept, freed = cuda.mem_alloc(16), cuda.mem_alloc(16)
    address = ctypes.c_uint64(int(freed))
    freed.free()
    assert cuda.library.cuMemFree_v2(address) != 0
    assert trt.misuse() == "memory was freed twice"
    context.detach()
    assert trt.misuse() == "a context was destroyed before its memory was freed"
    assert int(kept)


def test_engines_that_outlive_their_cuda_context(trt):
    context = trt.driver.Device(0).make_context(trt.driver.ctx_flags.MAP_HOST)
    engine = trt.Runtime(logger_of(trt)).deserialize_cuda_engine(plan_of(trt))
    context.detach()
    assert trt.misuse() == "TensorRT's objects outlived the CUDA context"
    assert engine.num_io_tensors == 2


def test_onnx_that_the_checker_refuses_is_refused(trt):
    logger = logger_of(trt)
    model = onnx.load_from_string(plain_model())
    model.graph.node[0].op_type = "Subtract"
    parser = trt.OnnxParser(trt.Builder(logger).create_network(), logger)
    assert not parser.parse(model.SerializeToString())
    assert "Subtract" in parser.get_error(0).desc()
