"""Bias correction: takes back by how much INT8 moves the mean of each channel of a convolution.

Rounding errors of a few weights do not cancel, so a whole channel is brighter or darker than in
float; narrow and depthwise layers have few weights. After Nagel et al., Data-Free Quantization
through Weight Equalization and Bias Correction (arXiv 1906.04721), section 4.2, by data: each layer
is compared on what it reads in float, so each has its own correction, and one that goes back to
float none.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.qdq import convolutions
from runtime.onnx_engine import session_of

Shifts = Mapping[str, npt.NDArray[np.float64]]
ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})


def shifts_of(
    model: ModelProto,
    quantize: Callable[[ModelProto], ModelProto],
    images: Sequence[npt.NDArray[np.uint8]],
) -> dict[str, npt.NDArray[np.float64]]:
    """How far `quantize` moves the mean of each channel, (C,), by convolution of the float `model`.

    The mean is over all of `images`, each (N, H, W, C), and all places.
    """
    names = convolutions(model)
    session = session_of(_beside(model, quantize(model), names).SerializeToString(), fused=False)
    outputs = [_moved(name) for name in names]
    means = [session.run(outputs, {"image": image}) for image in images]
    return {
        name: np.concatenate(of_images)[:, :, 0, 0].mean(axis=0, dtype=np.float64)
        for name, of_images in zip(names, zip(*means, strict=True), strict=True)
    }


def corrected(model: ModelProto, shifts: Shifts, float_layers: Collection[str]) -> ModelProto:
    """A copy of the float `model` without the `shifts` of its convolutions but `float_layers`."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    constants = {constant.name: constant for constant in graph.initializer}
    for node in (n for n in graph.node if n.name in shifts and n.name not in float_layers):
        read, weights, *biases = node.input
        bias = sum(numpy_helper.to_array(constants[name]) for name in biases)
        name = f"{node.name}.corrected"
        values = np.asarray(bias - shifts[node.name], np.float32)
        graph.initializer.append(numpy_helper.from_array(values, name))
        node.input[:] = [read, weights, name]
    used = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return copied


def _moved(name: str) -> str:
    return f"{name}.moved"


def _beside(model: ModelProto, quantized: ModelProto, names: Sequence[str]) -> ModelProto:
    """The float `model`, and beside each convolution its INT8 form, which reads the same.

    It gives, by image and channel, the mean of their difference: (N, C, 1, 1).
    """
    both = onnx.ModelProto()
    both.CopyFrom(quantized)  # for its opset and constants
    graph = both.graph
    constants = {constant.name for constant in graph.initializer}
    graph.initializer.extend(c for c in model.graph.initializer if c.name not in constants)
    nodes = list(model.graph.node)
    makers = {name: node for node in quantized.graph.node for name in node.output}
    exact = {node.name: node.output[0] for node in model.graph.node}
    int8 = {node.name: node for node in quantized.graph.node}
    for name in names:
        branch, moved = _branch(int8[name], makers, nodes), _moved(name)
        nodes.append(helper.make_node("Sub", [branch, exact[name]], [f"{moved}.by"]))
        nodes.append(helper.make_node("GlobalAveragePool", [f"{moved}.by"], [moved]))
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.output.extend(
        helper.make_tensor_value_info(_moved(name), TensorProto.FLOAT, None) for name in names
    )
    return both


def _branch(node: NodeProto, makers: Mapping[str, NodeProto], nodes: list[NodeProto]) -> str:
    """Add a copy of `node` and of the rounding before it to `nodes`; gives the copy's output."""
    copied = NodeProto()
    copied.CopyFrom(node)
    copied.name = ""
    name = copied.output[0] = f"{node.output[0]}.alone"
    for index, read in enumerate(node.input):
        maker = makers.get(read)
        if maker is not None and maker.op_type in ROUNDING:
            copied.input[index] = _branch(maker, makers, nodes)
    if not any(name in other.output for other in nodes):
        nodes.append(copied)
    return name
