"""Our own Q/DQ placement, for TensorRT: symmetric INT8, one quantise chain from Conv to Conv.

- Every Conv: its data input per tensor, its weights per output channel.
- Resize and Concat move bytes: what they read and write shares a scale, nothing is requantised.
- A residual Add: the identity branch only; the other one is the convolution it is fused with.
- Float stays: normalisation, pooling, the classifier's Gemm, sigmoids, score and mask; and the
  convolutions that lost too much, with what feeds them alone.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.cache import LARGEST

Ranges = Mapping[str, tuple[float, float]]

SHARED_SCALE = frozenset({"Concat", "Resize", "MaxPool"})
MAPS = ("/encoder", "/decoder", "/classifier/evidence")  # behind them, it ends in float


def convolutions(model: ModelProto) -> list[str]:
    """The names of the convolutions of the float `model`, in order: what can stay float."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def insert_qdq(model: ModelProto, ranges: Ranges, float_layers: Collection[str] = ()) -> ModelProto:
    """A copy of the float `model` with Q/DQ pairs; `ranges` is (lowest, highest) by tensor.

    The convolutions named in `float_layers` stay float. A quantised tensor `x` is named `x.int8`
    behind its Q and `x.dequantized` behind its DQ.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    scales = _scales(model, ranges)
    inputs = _quantized_inputs(model, float_layers)
    for node in graph.node:
        for index in inputs.get(node.name, []):
            if node.input[index] in scales:
                node.input[index] += ".dequantized"
    used = {name for node in graph.node for name in node.input}
    pairs = {
        name: _pair(name, np.float32(scale), graph)
        for name, scale in scales.items()
        if f"{name}.dequantized" in used
    }
    weights = [n for n in graph.node if n.op_type == "Conv" and n.name not in float_layers]
    ordered = [pair for node in weights for pair in _weight_pair(node, graph)]
    for name in (tensor.name for tensor in graph.input):
        ordered += pairs.get(name, [])
    for node in graph.node:
        ordered.append(node)
        for name in node.output:
            ordered += pairs.get(name, [])
    del graph.node[:]
    graph.node.extend(ordered)
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(quantized)


def _scales(model: ModelProto, ranges: Ranges) -> dict[str, float]:
    """Scale = amax / 127 by tensor; the largest for all that one Concat or Resize connects."""
    leader = {name: name for name in ranges}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in model.graph.node:
        if node.op_type in SHARED_SCALE:
            read = node.input if node.op_type == "Concat" else node.input[:1]
            tied = [name for name in (*read, *node.output) if name in leader]
            for name in tied[1:]:
                leader[find(name)] = find(tied[0])
    largest: dict[str, float] = {}
    for name, (lowest, highest) in ranges.items():
        amax = max(abs(lowest), abs(highest), 1e-6)
        largest[find(name)] = max(largest.get(find(name), 0.0), amax)
    return {name: largest[find(name)] / LARGEST for name in ranges}


def _quantized_inputs(model: ModelProto, float_layers: Collection[str]) -> dict[str, list[int]]:
    """Which inputs are read in INT8, by the name of the node that reads them."""
    readers: dict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node.name)
    inputs: dict[str, list[int]] = {}
    for node in reversed(model.graph.node):
        read = []
        if node.op_type == "Conv":
            read = [0] if node.name not in float_layers else []
        elif any(reader in inputs for reader in readers[node.output[0]]):
            read = _moved_inputs(node)
        if read:
            inputs[node.name] = read
    return inputs | _identity_branches(model, readers, inputs)


def _identity_branches(
    model: ModelProto, readers: Mapping[str, list[str]], inputs: Collection[str]
) -> dict[str, list[int]]:
    """By residual Add of the encoder, its identity branch: not where only float layers read it."""
    branches = {}
    layers = frozenset(convolutions(model))
    for node in model.graph.node:
        if node.op_type == "Add" and node.name.startswith("/encoder"):
            index = _identity_branch(node, model.graph)
            beside = layers.intersection(readers[node.input[index]])
            if not beside or beside.intersection(inputs):
                branches[node.name] = [index]
    return branches


def _moved_inputs(node: NodeProto) -> list[int]:
    """The inputs of a node that only moves bytes, which can do so in INT8."""
    if node.op_type == "Resize" or (node.op_type == "MaxPool" and node.name.startswith(MAPS)):
        return [0]
    if node.op_type == "Concat" and node.name.startswith(MAPS):
        return list(range(len(node.input)))
    return []


def _identity_branch(add: NodeProto, graph: onnx.GraphProto) -> int:
    """The input that was computed first: the block's own input, not its last convolution."""
    born = {name: rank for rank, node in enumerate(graph.node) for name in node.output}
    ranks = [born.get(name, -1) for name in add.input]
    return int(np.argmin(ranks))


def _pair(
    name: str, scale: npt.NDArray[np.float32] | np.float32, graph: onnx.GraphProto
) -> list[NodeProto]:
    """Q and DQ behind tensor `name`; a vector of scales is for axis 0."""
    values = np.asarray(scale, np.float32)
    zeros = np.zeros(values.shape, np.int8)
    graph.initializer.append(numpy_helper.from_array(values, f"{name}.scale"))
    graph.initializer.append(numpy_helper.from_array(zeros, f"{name}.zero"))
    constants = [f"{name}.scale", f"{name}.zero"]
    int8, back = f"{name}.int8", f"{name}.dequantized"
    quantize = helper.make_node("QuantizeLinear", [name, *constants], [int8])
    dequantize = helper.make_node("DequantizeLinear", [int8, *constants], [back])
    for node in (quantize, dequantize):
        node.name = f"{name}.{node.op_type}"
        if values.ndim:
            node.attribute.append(helper.make_attribute("axis", 0))
    return [quantize, dequantize]


def _weight_pair(conv: NodeProto, graph: onnx.GraphProto) -> list[NodeProto]:
    """Q and DQ for the weights of `conv`, one scale an output channel; rewires the convolution."""
    name = conv.input[1]
    conv.input[1] = f"{name}.dequantized"
    if any(i.name == f"{name}.scale" for i in graph.initializer):
        return []
    weights = numpy_helper.to_array(next(i for i in graph.initializer if i.name == name))
    amax = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    return _pair(name, np.maximum(amax, 1e-8).astype(np.float32) / LARGEST, graph)
