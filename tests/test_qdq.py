"""The TensorRT rendering by its rules: symmetric INT8, one quantise chain from Conv to Conv."""

import json
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from calibration.ranges import activation_ranges
from calibration.settings import RangeMethod
from export.cpu import quantize_for_cpu
from export.float_onnx import float_onnx, part_of
from export.lint import Severity, lint
from export.qdq import convolutions, insert_qdq
from export.split import write_split
from runtime.onnx_engine import OnnxEngine
from runtime.spec import InputSpec
from train.checkpoint import new_network
from train.network import NetworkConfig

SKIPS = [f"skip_{level}" for level in range(1, 6)]


class Graph:
    """An ONNX graph by name: constants, and which node makes or takes a tensor."""

    def __init__(self, model):
        self.whole = model
        self.nodes = list(model.graph.node)
        self.constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self.maker = {name: node for node in self.nodes for name in node.output}

    def of(self, *kinds):
        """The nodes of these kinds."""
        return [node for node in self.nodes if node.op_type in kinds]

    def takers(self, name):
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def made_by(self, name):
        """The kind of node that makes a tensor; None for an input or a constant."""
        return self.maker[name].op_type if name in self.maker else None

    def scale(self, node):
        """The scale of a Q or DQ."""
        return self.constants[node.input[1]]


@dataclass
class Quantized:
    """A TensorRT rendering, and what it was made from."""

    model: Graph
    gate: Graph
    mask: Graph
    ranges: dict

    @property
    def graphs(self):
        """Both halves."""
        return [self.gate, self.mask]


@pytest.fixture(scope="module", params=["tf_efficientnet_lite0", "resnet18"])
def quantized(request, int8_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "resnet18":
        return quantized_resnet(folder)
    model = onnx.load(int8_bundle / "model.onnx")
    return quantized_in(
        folder, model, json.loads((int8_bundle / "scales.json").read_bytes())["ranges"]
    )


def quantized_resnet(folder):
    """Another encoder, with max pooling and residuals behind a convolution; weights at random."""
    torch.manual_seed(0)
    network = new_network(NetworkConfig("resnet18"))
    model = part_of(float_onnx(network, InputSpec(64, 64, 1)), ["image"], ["score", "mask"])
    onnx.save(model, folder / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64, 1), dtype=np.uint8)
    ranges = activation_ranges(folder / "model.onnx", images, RangeMethod.MINMAX)
    return quantized_in(folder, model, ranges)


def quantized_in(folder, model, ranges):
    """The rendering with no layer in float, whatever parity asked for."""
    write_split(insert_qdq(model, ranges), folder / "tensorrt", "{}.int8".format)
    halves = (onnx.load(folder / "tensorrt" / f"{name}.onnx") for name in ("gate", "mask"))
    return Quantized(*map(Graph, (model, *halves)), ranges)


def test_there_is_no_padding_and_no_transposed_convolution(quantized):
    for graph in quantized.graphs:
        assert not graph.of("Pad", "ConvTranspose")
        assert graph.of("Conv")


def test_the_image_is_cast_before_all_else(quantized):
    (taker,) = quantized.gate.takers("image")
    assert taker.op_type == "Cast"


def test_the_first_convolution_of_a_grey_network_reads_one_channel(quantized):
    first = quantized.model.of("Conv")[0]
    assert quantized.model.constants[first.input[1]].shape[1] == 1
    assert not quantized.model.of("Expand")


def test_both_halves_together_hold_every_convolution(quantized):
    split = [len(graph.of("Conv")) for graph in quantized.graphs]
    assert sum(split) == len(quantized.model.of("Conv"))
    assert min(split) > 0


def test_scales_are_positive_float_constants_and_zero_points_are_int8_zeros(quantized):
    for graph in quantized.graphs:
        pairs = graph.of("QuantizeLinear", "DequantizeLinear")
        assert pairs
        for node in pairs:
            scale, zero = graph.scale(node), graph.constants[node.input[2]]
            assert scale.dtype == np.float32
            assert (scale > 0).all()
            assert np.isfinite(scale).all()
            assert zero.dtype == np.int8
            assert zero.shape == scale.shape
            assert not zero.any()


def test_every_convolution_reads_int8_data_by_one_scale(quantized):
    for graph in quantized.graphs:
        for conv in graph.of("Conv"):
            assert graph.made_by(conv.input[0]) == "DequantizeLinear"
            assert graph.scale(graph.maker[conv.input[0]]).shape == ()


def test_every_convolution_has_int8_weights_by_output_channel(quantized):
    for graph in quantized.graphs:
        for conv in graph.of("Conv"):
            back = graph.maker[conv.input[1]]
            pair = [graph.maker[back.input[0]], back]
            assert [node.op_type for node in pair] == ["QuantizeLinear", "DequantizeLinear"]
            weights = graph.constants[pair[0].input[0]]
            for node in pair:
                assert [(a.name, a.i) for a in node.attribute] == [("axis", 0)]
                assert graph.scale(node).shape == weights.shape[:1]


def test_weight_scales_reach_the_largest_weight_of_each_channel(quantized):
    for graph in quantized.graphs:
        for conv in graph.of("Conv"):
            pair = graph.maker[graph.maker[conv.input[1]].input[0]]
            weights = graph.constants[pair.input[0]]
            largest = np.abs(weights).max(axis=(1, 2, 3))
            expected = np.maximum(largest, 1e-8) / 127
            np.testing.assert_allclose(graph.scale(pair), expected, rtol=1e-5)


def test_biases_stay_float(quantized):
    for graph in quantized.graphs:
        biases = [conv.input[2] for conv in graph.of("Conv") if len(conv.input) > 2]
        assert biases
        assert all(graph.constants[name].dtype == np.float32 for name in biases)


def test_both_ends_of_a_pair_agree(quantized):
    for graph in quantized.graphs:
        for back in graph.of("DequantizeLinear"):
            if back.input[0] in graph.maker:
                quantize = graph.maker[back.input[0]]
                assert quantize.op_type == "QuantizeLinear"
                assert np.array_equal(graph.scale(quantize), graph.scale(back))


def test_gate_and_mask_agree_on_the_scale_of_a_skip(quantized):
    for skip in SKIPS:
        handed = quantized.gate.scale(quantized.gate.maker[skip])
        takers = quantized.mask.takers(skip)
        assert takers
        assert {float(quantized.mask.scale(taker)) for taker in takers} == {float(handed)}


def test_no_activation_is_clipped_below_its_range(quantized):
    largest = {name: max(abs(low), abs(high)) for name, (low, high) in quantized.ranges.items()}
    reached = np.array([1e-6, *largest.values()])  # 1e-6 where nothing was ever seen
    for graph in quantized.graphs:
        for node in graph.of("QuantizeLinear"):
            if node.input[0] in graph.constants:
                continue
            amax = 127 * float(graph.scale(node))
            assert amax >= 0.999999 * largest[node.input[0].removesuffix(".float")]
            assert np.isclose(reached, amax, rtol=1e-5).any()


def test_what_moves_bytes_reads_and_writes_one_scale(quantized):
    for graph in quantized.graphs:
        movers = [
            node
            for node in graph.of("Resize", "MaxPool", "Concat")
            if not node.name.startswith(("/classifier/Concat", "/classifier/MaxPool"))
        ]
        for node in movers:
            data = node.input if node.op_type == "Concat" else node.input[:1]
            assert {graph.made_by(name) for name in data} == {"DequantizeLinear"}
            (quantize,) = [t for t in graph.takers(node.output[0]) if t.op_type == "QuantizeLinear"]
            read = {float(graph.scale(graph.maker[name])) for name in data}
            assert read == {float(graph.scale(quantize))}
    assert len(quantized.mask.of("Concat")) == len(quantized.mask.of("Resize")) == 4


def test_resize_repeats_pixels(quantized):
    for node in quantized.mask.of("Resize"):
        modes = {a.name: a.s for a in node.attribute if a.type == onnx.AttributeProto.STRING}
        assert modes["mode"] == b"nearest"


def test_a_residual_sum_reads_one_branch_in_int8_and_one_from_its_convolution(quantized):
    sums = [node for node in quantized.gate.of("Add") if node.name.startswith("/encoder")]
    assert sums
    for node in sums:
        makers = sorted(quantized.gate.made_by(name) for name in node.input)
        assert makers == ["Conv", "DequantizeLinear"]


def kinds_up_to_convolutions(graph, result):
    """The operators that make the tensor `result` of what the last convolutions give."""
    kinds, ahead = set(), [result]
    while ahead:
        node = graph.maker.get(ahead.pop())
        if node is not None:
            kinds.add(node.op_type)
            ahead += [] if node.op_type == "Conv" else node.input
    return kinds


def test_score_and_mask_are_not_quantised(quantized):
    for graph, result in ((quantized.gate, "score"), (quantized.mask, "mask")):
        kinds = kinds_up_to_convolutions(graph, result)
        assert {"Sigmoid", "Conv"} <= kinds
        assert not {"QuantizeLinear", "DequantizeLinear"} & kinds
    pools = quantized.gate.of("GlobalMaxPool", "GlobalAveragePool", "MaxPool")
    whole = [
        pool
        for pool in pools
        if pool.name.startswith("/classifier/") and "evidence" not in pool.name
    ]
    assert len(whole) == 3
    assert {quantized.gate.made_by(pool.input[0]) for pool in whole} == {"Relu", "Conv"}


def test_the_linter_finds_nothing(quantized):
    for graph in quantized.graphs:
        assert lint(graph.whole) == []


@pytest.mark.parametrize("count", [1, 6, 30, 1000])
def test_float_layers_read_no_int8_and_the_others_still_do(int8_bundle, tmp_path, count):
    model = onnx.load(int8_bundle / "model.onnx")
    ranges = json.loads((int8_bundle / "scales.json").read_bytes())["ranges"]
    names = convolutions(model)
    kept_float = set(names[-count:])
    write_split(insert_qdq(model, ranges, kept_float), tmp_path / "tensorrt", "{}.int8".format)
    graphs = [Graph(onnx.load(tmp_path / f"tensorrt/{name}.onnx")) for name in ("gate", "mask")]
    found = {}
    for graph in graphs:
        assert [f for f in lint(graph.whole) if f.severity is not Severity.SLOW] == []
        for node in graph.of("Conv"):
            inputs = [graph.made_by(name) == "DequantizeLinear" for name in node.input[:2]]
            assert len(set(inputs)) == 1
            found[node.name] = inputs[0]
    assert found == {name: name not in kept_float for name in names}
    kinds = {t.type.tensor_type.elem_type for t in graphs[1].whole.graph.input}
    assert kinds == {onnx.TensorProto.FLOAT if count >= 30 else onnx.TensorProto.INT8}


def test_nothing_is_rounded_between_a_float_layer_of_the_cpu_and_what_computed_its_input(
    int8_bundle,
):
    model = onnx.load(int8_bundle / "model.onnx")
    ranges = json.loads((int8_bundle / "scales.json").read_bytes())["ranges"]
    for layer in convolutions(model)[1::4]:
        graph = quantize_for_cpu(model, ranges, [layer]).graph
        maker = {name: node for node in graph.node for name in node.output}
        above = [next(node for node in graph.node if node.name == layer).input[0]]
        while above:
            node = maker.get(above.pop())
            if node is not None and node.op_type != "Conv":
                assert node.op_type != "QuantizeLinear", (layer, node.name)
                above += node.input[:1] if node.op_type == "Resize" else node.input


@pytest.mark.parametrize("count", [1, 7, 30, 1000])
def test_the_cpu_rendering_with_float_layers_says_what_float_says(
    int8_bundle, six_images, tmp_path, count
):
    model = onnx.load(int8_bundle / "model.onnx")
    ranges = json.loads((int8_bundle / "scales.json").read_bytes())["ranges"]
    quantized = quantize_for_cpu(model, ranges, convolutions(model)[-count:])
    write_split(quantized, tmp_path / "cpu", "{}_QuantizeLinear_Output".format)
    engine = OnnxEngine(tmp_path / "cpu/gate.onnx", tmp_path / "cpu/mask.onnx")
    exact = OnnxEngine(*(int8_bundle / f"tensorrt/float/{part}.onnx" for part in ("gate", "mask")))
    scores, skips = engine.gate(six_images)
    expected, exact_skips = exact.gate(six_images)
    assert scores == pytest.approx(expected, abs=0.05)
    apart = engine.mask(skips, 1).astype(int) - exact.mask(exact_skips, 1)
    assert np.abs(apart).mean() < 6
