"""The rendering for onnxruntime on the CPU: uint8 activations, int8 weights, Q/DQ everywhere.

Its fast kernels want this form. (Where x86 has no VNNI they overflow; `runtime.onnx_engine` sees
to that, so that a bundle judges the same on every machine.)
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.qdq import MAPS

QUANTIZED_OPS = ("Conv", "Clip", "Relu", "Add", "Concat", "Resize", "MaxPool")


def quantize_for_cpu(model: ModelProto, ranges: Mapping[str, tuple[float, float]]) -> ModelProto:
    """A quantised copy of the float `model`; `ranges` is (lowest, highest) by tensor."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    data = {
        name: TensorData(lowest=np.float32(lowest), highest=np.float32(highest))
        for name, (lowest, highest) in ranges.items()
    }
    quantizer = QDQQuantizer(
        copied,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[n.name for n in copied.graph.node if _quantized(n)],
        nodes_to_exclude=[],
        op_types_to_quantize=list(QUANTIZED_OPS),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return onnx.shape_inference.infer_shapes(quantizer.model.model)


def _quantized(node: onnx.NodeProto) -> bool:
    """The mask's last steps and the classifier's vectors stay float."""
    inside = node.name.startswith(MAPS)
    return node.op_type in QUANTIZED_OPS and inside and "/draw/" not in node.name
