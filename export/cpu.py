"""The rendering for onnxruntime on the CPU: uint8 activations, int8 weights, Q/DQ everywhere.

Its fast kernels want this form. (Where x86 has no VNNI they overflow; `runtime.onnx_engine` sees to
that, so that convolutions are exact on every machine. Float parts are not: from one kind of
processor to another they may tip a rounding, and with it a score.)
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.qdq import MAPS

QUANTIZED_OPS = ("Conv", "Clip", "Relu", "Add", "Concat", "Resize", "MaxPool")


def quantize_for_cpu(
    model: ModelProto,
    ranges: Mapping[str, tuple[float, float]],
    float_layers: Collection[str] = (),
) -> ModelProto:
    """A quantised copy of the float `model`; `ranges` is (lowest, highest) by tensor.

    The convolutions named in `float_layers` stay float, and read what no Q has rounded.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    data = {
        name: TensorData(lowest=np.float32(lowest), highest=np.float32(highest))
        for name, (lowest, highest) in ranges.items()
    }
    before = _before(copied, float_layers)
    quantizer = QDQQuantizer(
        copied,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[n.name for n in copied.graph.node if _quantized(n)],
        nodes_to_exclude=[*float_layers, *before],
        op_types_to_quantize=list(QUANTIZED_OPS),
        extra_options={},
    )
    quantizer.quantize_model()
    _read_unrounded(quantizer.model.model, {*float_layers, *before})
    quantizer.model.topological_sort()
    return onnx.shape_inference.infer_shapes(quantizer.model.model)


def _quantized(node: onnx.NodeProto) -> bool:
    """The mask's last steps and the classifier's vectors stay float."""
    inside = node.name.startswith(MAPS)
    return node.op_type in QUANTIZED_OPS and inside and "/draw/" not in node.name


def _before(model: ModelProto, float_layers: Collection[str]) -> list[str]:
    """What gives the float layers their input: activations, sums, and what only moves it."""
    read = {node.input[0] for node in model.graph.node if node.name in float_layers}
    before = []
    for node in reversed(model.graph.node):
        if node.output[0] in read and node.op_type in QUANTIZED_OPS and node.op_type != "Conv":
            before.append(node.name)
            read.update(node.input if node.op_type not in {"Clip", "Relu"} else ())
    return before


def _read_unrounded(model: ModelProto, names: Collection[str]) -> None:
    """Let the named nodes read what was quantised for others as it was before.

    An activation too: its input is wider than what it leaves, and eight bits are coarse there.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    for node in (n for n in model.graph.node if n.name in names):
        for index, name in enumerate(node.input):
            back = maker.get(name)
            if back is not None and back.op_type == "DequantizeLinear":
                node.input[index] = maker[back.input[0]].input[0]
