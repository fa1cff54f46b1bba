"""NVIDIA's own parser and builder, without a GPU: TensorRT-RTX takes the TensorRT rendering."""

import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

from calibration.ranges import activation_ranges
from calibration.settings import RangeMethod
from export.float_onnx import float_onnx, part_of
from export.qdq import insert_qdq
from export.split import write_split
from runtime.spec import InputSpec
from train.encoder import DEFAULT_ENCODER
from train.network import JointNetwork
from train.weights import load_encoder_weights

trt = pytest.importorskip(
    "tensorrt_rtx_bindings",
    reason="needs pip install --no-deps tensorrt_rtx_cu13_libs tensorrt_rtx_cu13_bindings",
)


@pytest.fixture(scope="module")
def rendering(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtx")
    spec = InputSpec(64, 96, 1)
    network = JointNetwork(DEFAULT_ENCODER, 1, 1, classifier=True)
    load_encoder_weights(network.encoder, DEFAULT_ENCODER, "auto")
    model = part_of(float_onnx(network, spec), ["image"], ["score", "mask"])
    onnx.save(model, folder / "model.onnx")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1, 96, 64, 1), dtype=np.uint8) for _ in range(4)]
    ranges = activation_ranges(folder / "model.onnx", images, RangeMethod.MINMAX)
    write_split(insert_qdq(model, ranges), folder / "tensorrt", "{}.int8".format)
    return folder / "tensorrt"


@pytest.mark.parametrize("name", ["gate", "mask"])
def test_every_convolution_is_built_in_int8(rendering, name):
    path = rendering / f"{name}.onnx"
    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]

    kernels = [line for line in build(path) if "LayerType: correlation" in line]

    assert len(kernels) == len(convolutions)
    for kernel in kernels:
        inputs = re.search(r"Inputs: \[(.*?)\], Constants", kernel).group(1)
        assert set(re.findall(r"Datatype: (\w+)", inputs)) == {"Int8"}, kernel[:80]


def build(path: Path) -> list[str]:
    """The fused kernels that the builder chose, one line each."""
    messages = []

    class Logger(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)

        def log(self, severity, message):
            del severity
            messages.append(message)

    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(path.read_bytes()), parser.get_error(0).desc()
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = [max(1, side) for side in tensor.shape]
        profile.set_shape(tensor.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert builder.build_serialized_network(network, config)
    return next(m for m in messages if m.lstrip().startswith("Layers:")).splitlines()
