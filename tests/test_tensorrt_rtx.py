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
from export.renderings import TENSORRT, TYPED
from export.split import write_split
from runtime.spec import InputSpec
from train.encoder import DEFAULT_ENCODER
from train.network import JointNetwork
from train.weights import load_encoder_weights

trt = pytest.importorskip(
    "tensorrt_rtx_bindings",
    reason="needs pip install --no-deps tensorrt_rtx_cu13_libs tensorrt_rtx_cu13_bindings",
)


@pytest.fixture(scope="module", params=[DEFAULT_ENCODER, "resnet18"])
def renderings(request, tmp_path_factory):
    """The renderings for TensorRT of a network with this encoder."""
    folder = tmp_path_factory.mktemp("rtx")
    spec = InputSpec(64, 96, 1)
    network = JointNetwork(request.param, 1, 1, classifier=True)
    if request.param == DEFAULT_ENCODER:
        load_encoder_weights(network.encoder, DEFAULT_ENCODER, "auto")
    whole = float_onnx(network, spec)
    model = part_of(whole, ["image"], ["score", "mask"])
    onnx.save(model, folder / "model.onnx")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1, 96, 64, 1), dtype=np.uint8) for _ in range(4)]
    ranges = activation_ranges(folder / "model.onnx", images, RangeMethod.MINMAX)
    for kind in (TENSORRT, TYPED):
        quantized = kind.quantize(model, ranges, ())
        write_split(quantized, folder / kind.name, kind.border.format)
    write_split(whole, folder / "tensorrt/float")
    return folder


@pytest.mark.parametrize("kind", [TENSORRT, TYPED], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["gate", "mask"])
def test_every_convolution_is_built_in_int8(renderings, kind, name):
    path = renderings / kind.name / f"{name}.onnx"
    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]

    kernels = [line for line in build(path, typed=kind is TYPED) if "LayerType: corr" in line]

    assert len(kernels) == len(convolutions)
    for kernel in kernels:
        inputs = re.search(r"Inputs: \[(.*?)\], Constants", kernel).group(1)
        assert set(re.findall(r"Datatype: (\w+)", inputs)) == {"Int8"}, kernel[:80]


@pytest.mark.parametrize("name", ["gate", "mask"])
def test_the_float_networks_are_built(renderings, name):
    assert build(renderings / f"tensorrt/float/{name}.onnx")


def build(path: Path, *, typed: bool = False) -> list[str]:
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
    strongly = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly if typed else 0)
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
        assert builder.build_serialized_network(network, config), messages[-5:]
    return next(m for m in messages if m.lstrip().startswith("Layers:")).splitlines()
