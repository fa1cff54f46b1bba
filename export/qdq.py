"""Our own Q/DQ placement, for TensorRT: symmetric INT8, one quantise chain from Conv to Conv.

- Every Conv: its data input per tensor, its weights per output channel.
- Resize and Concat move bytes: what they read and write shares a scale, nothing is requantised.
- A residual Add: the identity branch only; the other one is the convolution it is fused with.
- Float stays: normalisation, pooling, the classifier's Gemm, sigmoids, score and mask.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

Ranges = Mapping[str, tuple[float, float]]

SHARED_SCALE = frozenset({"Concat", "Resize", "MaxPool"})
MAPS = ("/encoder", "/decoder", "/classifier/evidence")  # behind them, it ends in float
LARGEST = 127


def insert_qdq(model: ModelProto, ranges: Ranges) -> ModelProto:
    """A copy of the float `model` with Q/DQ pairs; `ranges` is (lowest, highest) by tensor.

    A quantised tensor `x` is named `x.int8` behind its Q and `x.dequantized` behind its DQ.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    scales = _scales(model, ranges)
    for node in graph.node:
        for index in _quantized_inputs(node, graph):
            if node.input[index] in scales:
                node.input[index] += ".dequantized"
    used = {name for node in graph.node for name in node.input}
    pairs = {
        name: _pair(name, np.float32(scale), graph)
        for name, scale in scales.items()
        if f"{name}.dequantized" in used
    }
    weights = [node for node in graph.node if node.op_type == "Conv"]
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


def _quantized_inputs(node: NodeProto, graph: onnx.GraphProto) -> list[int]:
    """Which inputs of `node` are read in INT8."""
    if node.op_type in {"Conv", "Resize"}:
        return [0]
    if node.op_type == "MaxPool" and node.name.startswith(MAPS):
        return [0]
    if node.op_type == "Concat" and node.name.startswith(MAPS):
        return list(range(len(node.input)))
    if node.op_type == "Add" and node.name.startswith("/encoder"):
        return [_identity_branch(node, graph)]
    return []


def _identity_branch(add: NodeProto, graph: onnx.GraphProto) -> int:
    """The input that was computed first: the block's own input, not its last convolution."""
    born = {name: rank for rank, node in enumerate(graph.node) for name in node.output}
    ranks = [born.get(name.removesuffix(".dequantized"), -1) for name in add.input]
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
