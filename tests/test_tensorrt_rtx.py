"""NVIDIA's own parser and builder, without a GPU: TensorRT-RTX takes the TensorRT rendering."""

import re
import sys

import numpy as np
import onnx
import pytest

from calibration.ranges import activation_ranges
from calibration.settings import RangeMethod
from export.float_onnx import float_onnx, part_of
from export.plan import HALF, Precision, Recipe, build_plan
from export.renderings import TENSORRT, TYPED
from export.split import write_split
from export.typed import typed
from runtime.spec import InputSpec
from train.encoder import DEFAULT_ENCODER
from train.network import JointNetwork
from train.weights import load_encoder_weights


@pytest.fixture(scope="module", params=[DEFAULT_ENCODER, "resnet18"])
def renderings(built_by_nvidia, request, tmp_path_factory):
    """The renderings for TensorRT of a network with this encoder."""
    del built_by_nvidia  # without it, nothing needs to be rendered
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
    write_split(typed(model), folder / HALF)
    return folder


@pytest.mark.parametrize("kind", [TENSORRT, TYPED], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["gate", "mask"])
def test_every_convolution_is_built_in_int8_behind_one_quantise_chain(
    built_by_nvidia, renderings, kind, name
):
    path = renderings / kind.name / f"{name}.onnx"
    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]

    layers = built_by_nvidia(path.read_bytes(), typed=kind is TYPED)
    kernels = [line for line in layers if "LayerType: correlation" in line]

    assert len(kernels) == len(convolutions)
    for kernel in kernels:
        inputs = re.search(r"Inputs: \[(.*?)\], Constants", kernel).group(1)
        assert set(re.findall(r"Datatype: (\w+)", inputs)) == {"Int8"}, kernel[:80]
    fused = [line.partition(",")[0] for line in layers if "LayerType: kgen" in line]
    chains = sum(name_of_steps.count("Roun") for name_of_steps in fused)
    assert chains == len(convolutions) - (name == "mask")  # whose first one reads INT8


@pytest.mark.parametrize("name", ["gate", "mask"])
def test_the_float_networks_are_built(built_by_nvidia, renderings, name):
    assert built_by_nvidia((renderings / f"tensorrt/float/{name}.onnx").read_bytes())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of RTX, not of TensorRT
@pytest.mark.parametrize("name", ["gate", "mask"])
@pytest.mark.parametrize(
    ("precision", "folder"), [(Precision.INT8, TYPED.name), (Precision.FP16, HALF)]
)
def test_our_builder_makes_a_plan_of_it(renderings, monkeypatch, name, precision, folder):
    """`export.plan` itself, with NVIDIA's builder: profile, timing cache, progress and all."""
    import tensorrt_rtx_bindings

    monkeypatch.setattr(tensorrt_rtx_bindings, "__version__", "11.4.0")  # its API is that one's
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_rtx_bindings)
    recipe = Recipe(precision, renderings / folder, typed=True)
    steps = []

    def step(phase, done, total):
        assert 0 <= done <= total
        steps.append(phase)

    plan, timing = build_plan(name, recipe, {"image": 3}, None, b"no timing cache", step)
    assert len(plan) > 100_000
    assert timing
    assert len(set(steps)) > 3
    again, _ = build_plan(name, recipe, {"image": 3}, None, timing, step)
    assert len(again) > 100_000
