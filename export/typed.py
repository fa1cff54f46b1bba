"""The rendering for strongly typed TensorRT (10.12 on, and 11): the graph says every precision.

Q/DQ, weights and scales of the feature maps are float16, opset 19; normalisation, the classifier's
vectors, score and mask stay float32, with casts between.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

from export.qdq import MAPS, Ranges, insert_qdq

OPSET = 19
PAIR = ("QuantizeLinear", "DequantizeLinear")
SMALLEST_SCALE = 1e-6  # float16's steps are 6e-8 there: 3 % off at most, and never 0
SIZES = {"Resize": (1, 2, 3)}  # inputs that stay float32 whatever the data are


def insert_typed_qdq(
    model: ModelProto, ranges: Ranges, float_layers: Collection[str] = ()
) -> ModelProto:
    """As `insert_qdq`, with every precision in the graph."""
    return typed(insert_qdq(model, ranges, float_layers))


def typed(model: ModelProto) -> ModelProto:
    """A copy of `model`, a Q/DQ network in float32 as `export.qdq` makes it, in both precisions."""
    converted = version_converter.convert_version(model, OPSET)
    converted.ir_version = 9
    graph = converted.graph
    _constants_as_initializers(converted)
    half = {tensor for node in graph.node if _is_half(node) for tensor in node.output}
    kinds = _float_tensors(converted)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, NodeProto | None] = {}
    nodes = []
    for node in graph.node:
        wanted = TensorProto.FLOAT16 if _is_half(node) else TensorProto.FLOAT
        for index, name in enumerate(node.input):
            if name not in kinds or index in SIZES.get(node.op_type, ()):
                continue
            if name in constants:
                if wanted == TensorProto.FLOAT16:
                    node.input[index] = _half_constant(converted, constants[name], made)
            elif (name in half) != (wanted == TensorProto.FLOAT16):
                node.input[index] = cast = f"{name}.{'half' if _is_half(node) else 'single'}"
                if cast not in made:
                    made[cast] = helper.make_node("Cast", [name], [cast], name=cast, to=wanted)
                    nodes.append(made[cast])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    _drop_unread(converted)
    return onnx.shape_inference.infer_shapes(converted)


def _constants_as_initializers(model: ModelProto) -> None:
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        value = next(a.t for a in node.attribute if a.name == "value")
        value.name = node.output[0]
        model.graph.initializer.append(value)
        model.graph.node.remove(node)


def _is_half(node: NodeProto) -> bool:
    return node.op_type in {*PAIR, "Conv"} or node.name.startswith(MAPS)


def _float_tensors(model: ModelProto) -> set[str]:
    graph = model.graph
    found = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            found.add(value.name)
    return found


def _half_constant(
    model: ModelProto, constant: TensorProto, made: dict[str, NodeProto | None]
) -> str:
    """The name of the constant in float16; a scale stays above 0."""
    name = f"{constant.name}.half"
    if name not in made:
        values = numpy_helper.to_array(constant)
        if constant.name.endswith(".scale"):
            values = np.maximum(values, SMALLEST_SCALE)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name))
        made[name] = None
    return name


def _drop_unread(model: ModelProto) -> None:
    read = {name for node in model.graph.node for name in node.input}
    unread = [tensor for tensor in model.graph.initializer if tensor.name not in read]
    for tensor in unread:
        model.graph.initializer.remove(tensor)
