"""The joint network as one float ONNX graph, the source of every rendering."""

import copy
import io
import warnings

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.utils import Extractor
from torch import Tensor, nn

from runtime.errors import ModelError
from runtime.spec import InputSpec
from train.encoder import STRIDES
from train.network import JointNetwork

OPSET = 17
SKIPS = tuple(f"skip_{level + 1}" for level in range(len(STRIDES)))


def float_onnx(network: JointNetwork, spec: InputSpec) -> ModelProto:
    """`image` uint8 (N, H, W, C) in; `score` (N, K), `mask` uint8 (N, K, H, W), skips out.

    Batch norms are folded, grey input is one channel, and padding belongs to its convolution.

    Raises:
        ModelError: the network has no classifier, so there is no gate.
    """
    if network.classifier is None:
        raise ModelError("the model was trained with --no-classifier: it has no gate to export")
    folded = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    folded.fold_grey()
    image = torch.zeros(1, spec.height, spec.width, spec.channels, dtype=torch.uint8)
    outputs = ["score", "mask", *SKIPS]
    written = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the exporter that writes opset 17 is the older one
        torch.onnx.export(
            _Whole(folded),
            (image,),
            written,  # type: ignore[arg-type]  # a file object is taken too
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in ("image", *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(written.getvalue())
    _own_constants(model)
    model = _with_shapes(_fold_padding(onnx.shape_inference.infer_shapes(model)))
    onnx.checker.check_model(model, full_check=True)
    return model


class _Whole(nn.Module):
    def __init__(self, network: JointNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        skips = self.network.encode(image)
        mask = torch.sigmoid(self.network.decoder(skips))
        score = torch.sigmoid(self.network.classify(skips, None))
        return score, (mask * 255 + 0.5).to(torch.uint8), *skips


def _own_constants(model: ModelProto) -> None:
    """Give each reader of a shared initialiser its own: equal ones stand behind an Identity."""
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "Identity"]:
        if node.input[0] in values:
            own = model.graph.initializer.add()
            own.CopyFrom(values[node.input[0]])
            own.name = node.output[0]
            model.graph.node.remove(node)


def _fold_padding(model: ModelProto) -> ModelProto:
    """Move each Pad by zeros in front of a Conv into the Conv's own pads."""
    pads = {node.output[0]: node for node in model.graph.node if node.op_type == "Pad"}
    for conv in model.graph.node:
        if conv.op_type != "Conv" or conv.input[0] not in pads:
            continue
        pad = pads[conv.input[0]]
        before_and_after = _constant(model, pad.input[1]).tolist()
        added = before_and_after[2:4] + before_and_after[6:8]  # top, left, bottom, right
        own = next(attribute for attribute in conv.attribute if attribute.name == "pads")
        own.ints[:] = [a + b for a, b in zip(own.ints, added, strict=True)]
        conv.input[0] = pad.input[0]
    return part_of(model, ["image"], ["score", "mask", *SKIPS])


def _with_shapes(model: ModelProto) -> ModelProto:
    """The same network; its shapes are known, the batch apart, once nothing is padded by a sum."""
    del model.graph.value_info[:]
    for tensor in model.graph.output:
        for place, dimension in enumerate(tensor.type.tensor_type.shape.dim):
            if place:
                dimension.Clear()
    return onnx.shape_inference.infer_shapes(model)


def part_of(model: ModelProto, inputs: list[str], outputs: list[str]) -> ModelProto:
    """The part of `model` that computes the tensors `outputs` from the tensors `inputs`."""
    return Extractor(model).extract_model(inputs, outputs)


def _constant(model: ModelProto, name: str) -> npt.NDArray[np.int64]:
    """The tensor `name`, which depends on no input."""
    amounts: npt.NDArray[np.int64] = ReferenceEvaluator(part_of(model, [], [name])).run(None, {})[0]  # type: ignore[index]
    return amounts
