"""How much a network computes and moves for one tile: what to expect of its time."""

import math

import onnx
from onnx import ModelProto, numpy_helper

from runtime.manifest import Work


def work_of(model: ModelProto, tensor_bytes: int) -> Work:
    """Of one tile: the multiply-adds of its convolutions and products, and the bytes around them.

    Bytes are what each reads and writes, with `tensor_bytes` for an activation or a weight: what
    must pass between memory and kernels where nothing else is fused.
    """
    shapes = _shapes(model)
    multiply_adds = moved = 0
    for node in model.graph.node:
        if node.op_type not in {"Conv", "Gemm", "MatMul"}:
            continue
        read, weights, written = (shapes[n] for n in (*node.input[:2], node.output[0]))
        if node.op_type == "MatMul":
            multiply_adds += math.prod(written) * read[-1]
        else:
            places = math.prod(written[2:]) if node.op_type == "Conv" else 1
            multiply_adds += math.prod(weights) * places
        moved += math.prod(read) + math.prod(weights) + math.prod(written)
    return Work(multiply_adds, moved * tensor_bytes)


def _shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """By tensor, the free batch as 1."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    found = {
        value.name: tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    return found | {t.name: numpy_helper.to_array(t).shape for t in inferred.initializer}
