"""Finds what TensorRT would reject in a Q/DQ network, or run in float without a word.

The rules are those of TensorRT's ONNX parser and of its builder's fusions, 8.6 to 11.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from runtime.errors import ModelError, QualityError

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
PAIR = frozenset({QUANTIZE, DEQUANTIZE})
HIGHEST_OPSET = {"8.6": 17, "10": 20, "11": 25}  # by release of TensorRT
STANDARD = frozenset({"", "ai.onnx"})
FOREIGN = ("com.microsoft", "ai.onnx.ml", "pkg.", "org.pytorch")  # others may name a plugin
PLUGIN = "plugin"  # the domain of what no standard knows, for the checker
UNKNOWN_TYPES = frozenset({"uint8", "uint16", "int16"})
LAST_OPSET_WITHOUT_FLOAT16 = 18
FLOAT_ALWAYS = {
    "ConvTranspose": "use Resize (nearest) and Conv",
    "GlobalAveragePool": "leave it in float",
    "GlobalMaxPool": "leave it in float",
    "Sigmoid": "leave it in float",
    "Softmax": "leave it in float",
}
# What leaves bytes as they are, so that a convolution behind reads them. Resize too where it is
# nearest, and Concat where all that it reads has one scale.
PASSING = frozenset(
    {"Cast", "Identity", "MaxPool", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
BRANCHES = frozenset({"If", "Loop", "Scan"})


class Severity(str, Enum):
    """What happens to the network: it is refused, it stays float unnoticed, or it is slow."""

    REJECTED = "rejected"
    FLOAT = "float"
    SLOW = "slow"


@dataclass(frozen=True)
class Finding:
    """One place that breaks one rule, with what to do about it."""

    severity: Severity
    rule: str
    node: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.node}: {self.message} [{self.rule}]"


def lint_file(path: Path, release: str) -> list[Finding]:
    """What is wrong with the network in the file `path`, for a `release` of TensorRT.

    Raises:
        ModelError: it is no ONNX file.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; name an ONNX network")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(_checkable(model))
        linter = _Linter(model, HIGHEST_OPSET[release])
    except Exception as error:  # protobuf's errors, onnx's and numpy's have no common base class
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{path}: is no valid ONNX file ({reason}); export it again") from error
    return list(linter.findings())


def lint(model: ModelProto, release: str = "8.6") -> list[Finding]:
    """What is wrong with `model`, in the order of its nodes; `release` is of `HIGHEST_OPSET`."""
    return list(_Linter(model, HIGHEST_OPSET[release]).findings())


def require_clean(folder: Path) -> None:
    """Refuse networks that TensorRT 10 would reject, or run in float where INT8 was meant.

    Raises:
        QualityError: there is such a finding.
    """
    for path in sorted(folder.glob("*.onnx")):
        for finding in lint_file(path, "10"):
            if finding.severity is not Severity.SLOW:
                raise QualityError(f"{path.name}: {finding}; export without --int8, and tell us")


class _Linter:
    def __init__(self, model: ModelProto, highest_opset: int) -> None:
        self.model = model
        self.highest_opset = highest_opset
        self.opset = max((o.version for o in model.opset_import if o.domain in STANDARD), default=0)
        self.nodes = [node for node in model.graph.node if node.domain in STANDARD]
        self.constants = _constants(model)
        self.types, self.ranks = _types_and_ranks(model)
        self.outputs = {tensor.name for tensor in model.graph.output}
        self.border = self.outputs | {tensor.name for tensor in model.graph.input}
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.fixed = {*self.constants}  # what is computed from constants alone
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.readers[name].append(node)
            if any(node.input) and self.fixed.issuperset(filter(None, node.input)):
                self.fixed.update(node.output)

    def findings(self) -> Iterator[Finding]:
        yield from self._opset()
        for node in self.nodes:
            if node.op_type in PAIR:
                yield from self._scale(node)
                yield from self._zero_point(node)
                yield from self._sizes(node)
                yield from self._channels(node)
            if node.op_type == QUANTIZE:
                yield from self._chain(node)
            if node.op_type in {"Conv", "Gemm", "MatMul"}:
                yield from self._both_inputs(node)
                yield from self._axis(node)
            yield from self._uint8(node)
            yield from self._always_float(node)
            yield from self._moves(node)
            if node.op_type == "Add":
                yield from self._residual(node)
            if node.op_type in BRANCHES:
                message = "branches on the host, so no CUDA graph; split the network in two"
                yield _finding(Severity.SLOW, "control-flow", node, message)

    def _opset(self) -> Iterator[Finding]:
        if self.opset > self.highest_opset:
            message = f"opset {self.opset}, this TensorRT reads up to {self.highest_opset}"
            yield Finding(Severity.REJECTED, "opset", self.model.graph.name, message)
        functions = {(function.domain, function.name) for function in self.model.functions}
        for node in self.model.graph.node:
            own = (node.domain, node.op_type) in functions
            if node.domain.startswith(FOREIGN) and not own:
                message = f"{node.op_type} of '{node.domain}', which TensorRT has not"
                yield _finding(Severity.REJECTED, "domain", node, message)

    def _uint8(self, node: NodeProto) -> Iterator[Finding]:
        """A uint8 tensor is one of the border, which a Cast alone reads, or a zero point."""
        if node.op_type in PAIR:
            return
        read = [name for name in node.input if self._is_uint8(name)]
        for name in read if node.op_type != "Cast" else ():
            if name in self.border:
                message = f"reads '{name}', uint8, which only a Cast may; put one first"
                yield _finding(Severity.REJECTED, "uint8-border", node, message)
        for name in node.output if not read else ():
            if self._is_uint8(name) and name not in self.outputs:
                message = f"makes '{name}', uint8 inside the network; cast at its border alone"
                yield _finding(Severity.REJECTED, "uint8-inside", node, message)

    def _is_uint8(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.UINT8 and name not in self.constants

    def _scale(self, node: NodeProto) -> Iterator[Finding]:
        scale = self.constants.get(node.input[1])
        if scale is None:
            message = f"its scale '{node.input[1]}' is computed; make it a constant"
            yield _finding(Severity.REJECTED, "scale-constant", node, message)
            return
        half = scale.dtype == np.float16
        if scale.dtype != np.float32 and not (half and self.opset > LAST_OPSET_WITHOUT_FLOAT16):
            needed = "float32 (float16 from opset 19 on)"
            message = f"its scale is {scale.dtype}, opset {self.opset}; make it {needed}"
            yield _finding(Severity.REJECTED, "scale-type", node, message)
        if scale.dtype.kind == "f" and not (np.isfinite(scale).all() and (scale > 0).all()):
            message = "its scale is not above 0 and finite; calibrate again"
            yield _finding(Severity.REJECTED, "scale-positive", node, message)

    def _zero_point(self, node: NodeProto) -> Iterator[Finding]:
        if len(node.input) > 2 and node.input[2]:  # noqa: PLR2004 - x, scale, zero point
            zero = self.constants.get(node.input[2])
            if zero is None:
                message = f"its zero point '{node.input[2]}' is computed; make it a constant"
                yield _finding(Severity.REJECTED, "zero-point-constant", node, message)
                return
            kind = zero.dtype.name
        elif node.op_type == DEQUANTIZE and node.input[0] in self.constants:
            zero, kind = None, self.constants[node.input[0]].dtype.name
        else:
            return
        if kind == "int32":
            message = "dequantises int32; leave the bias in float, TensorRT scales it itself"
            yield _finding(Severity.REJECTED, "int32-bias", node, message)
        elif kind in UNKNOWN_TYPES:
            message = f"it quantises to {kind}, which TensorRT refuses or takes for int8; "
            message += "quantise symmetrically, to int8"
            yield _finding(Severity.REJECTED, "zero-point-type", node, message)
        if zero is not None and np.any(zero != 0):
            message = "its zero point is not 0; quantise symmetrically"
            yield _finding(Severity.REJECTED, "zero-point-zero", node, message)

    def _sizes(self, node: NodeProto) -> Iterator[Finding]:
        """As many scales as zero points, and as channels."""
        values, scale, zero, *_ = map(self.constants.get, (*node.input, ""))
        if scale is not None and zero is not None and scale.size != zero.size:
            message = f"{scale.size} scales and {zero.size} zero points; give as many"
            yield _finding(Severity.REJECTED, "scale-size", node, message)
        axis = _axis_of(node)
        if (
            scale is None
            or values is None
            or scale.size == 1
            or not -values.ndim <= axis < values.ndim
        ):
            return
        if scale.size != values.shape[axis]:
            message = f"{scale.size} scales for {values.shape[axis]} channels along axis {axis}; "
            message += "give as many"
            yield _finding(Severity.REJECTED, "scale-size", node, message)

    def _channels(self, node: NodeProto) -> Iterator[Finding]:
        scale = self.constants.get(node.input[1])
        if scale is None or node.input[0] in self.fixed:
            return
        if scale.size > 1:
            message = (
                f"{scale.size} scales for an activation, of which it takes one; it stays float"
            )
            yield _finding(Severity.FLOAT, "activation-per-channel", node, message)
        elif scale.ndim:
            message = f"the scale of an activation has the shape {list(scale.shape)}: it stays "
            message += "float; make it a scalar"
            yield _finding(Severity.FLOAT, "activation-scale-shape", node, message)

    def _chain(self, node: NodeProto) -> Iterator[Finding]:
        before = self.maker.get(node.input[0])
        again = before is not None and before.op_type == DEQUANTIZE
        if before is not None and again and not self._same_scale(node, before):
            message = f"requantises what '{before.name}' dequantised; give both one scale"
            yield _finding(Severity.SLOW, "requantised", node, message)
        twin = next(n for n in self.readers[node.input[0]] if n.op_type == QUANTIZE)
        if twin is not node:
            message = f"quantises what '{twin.name}' quantises already; share one"
            yield _finding(Severity.SLOW, "quantised-twice", node, message)
        is_output = node.output[0] in self.outputs
        if not is_output and any(r.op_type != DEQUANTIZE for r in self.readers[node.output[0]]):
            message = "is read without being dequantised; put a DequantizeLinear behind it"
            yield _finding(Severity.REJECTED, "no-dequantise", node, message)
        if before is not None and before.op_type in {"Conv", "Gemm"}:
            activations = [r for r in self.readers[node.input[0]] if r.op_type in {"Relu", "Clip"}]
            behind = [
                r
                for reader in self.readers[node.output[0]]
                for r in self.readers[reader.output[0]]
                if r.op_type in {"Relu", "Clip"}
            ]
            if activations or behind:
                message = f"stands between '{before.name}' and its activation; put it behind that"
                yield _finding(Severity.SLOW, "before-activation", node, message)

    def _same_scale(self, one: NodeProto, other: NodeProto) -> bool:
        a, b = (self.constants.get(node.input[1]) for node in (one, other))
        return a is not None and b is not None and np.array_equal(a, b)

    def _both_inputs(self, node: NodeProto) -> Iterator[Finding]:
        data, weights = (self._dequantised(name, PASSING) for name in node.input[:2])
        if weights and not data:
            message = "its weights are quantised, its data are not: it stays float; quantise both"
            yield _finding(Severity.FLOAT, "weights-only", node, message)
        known = node.op_type == "Conv" or node.input[1] in self.constants
        if data and not weights and known:
            message = "its data are quantised, its weights are not: it stays float; quantise both"
            yield _finding(Severity.FLOAT, "data-only", node, message)

    def _axis(self, node: NodeProto) -> Iterator[Finding]:
        maker = self.maker.get(node.input[1])
        if maker is None or maker.op_type != DEQUANTIZE:
            return
        scale = self.constants.get(maker.input[1])
        rank = self.ranks.get(maker.output[0], 0)
        axis = _axis_of(maker)
        axis += rank if axis < 0 else 0
        made = {"Conv": 0, "MatMul": rank - 1, "Gemm": 0 if _flag(node, "transB") else 1}
        if scale is not None and scale.size > 1 and rank and axis != made[node.op_type]:
            message = f"its weights have scales along axis {axis}: it stays float; use axis "
            message += f"{made[node.op_type]}, the channels that it makes"
            yield _finding(Severity.FLOAT, "weights-axis", node, message)

    def _dequantised(self, name: str, passing: frozenset[str] = frozenset()) -> bool:
        """Whether a DQ makes this tensor, or one that operators of `passing` only pass on."""
        maker = self.maker.get(name)
        while maker is not None and (maker.op_type in passing or (passing and _nearest(maker))):
            maker = self.maker.get(maker.input[0])
        if maker is not None and passing and maker.op_type == "Concat":
            first, *others = (self.maker.get(part) for part in maker.input)
            return all(
                first and part and part.op_type == DEQUANTIZE and self._same_scale(first, part)
                for part in (first, *others)
            )
        return maker is not None and maker.op_type == DEQUANTIZE

    def _always_float(self, node: NodeProto) -> Iterator[Finding]:
        mend = FLOAT_ALWAYS.get(node.op_type)
        if mend and node.input and self._dequantised(node.input[0]):
            message = f"{node.op_type} runs in float, and pays for Q and DQ; {mend}"
            yield _finding(Severity.SLOW, "float-operator", node, message)
        if node.op_type == "Resize" and self._dequantised(node.input[0]) and not _nearest(node):
            message = "Resize runs in float where it is not nearest; use that"
            yield _finding(Severity.SLOW, "float-operator", node, message)

    def _moves(self, node: NodeProto) -> Iterator[Finding]:
        """A Concat copies bytes where everything that it reads and writes has one scale."""
        if node.op_type != "Concat":
            return
        read = [self.maker[name] for name in node.input if self._dequantised(name)]
        after = [r for r in self.readers[node.output[0]] if r.op_type == QUANTIZE]
        if not read:
            return
        if len(read) < len(node.input):
            message = "some of its inputs are quantised and some are not; quantise all or none"
            yield _finding(Severity.SLOW, "concat-mixed", node, message)
        if any(not self._same_scale(read[0], other) for other in (*read[1:], *after)):
            message = "its inputs and its output have several scales; give all of them one"
            yield _finding(Severity.SLOW, "concat-scales", node, message)

    def _residual(self, node: NodeProto) -> Iterator[Finding]:
        if len(node.input) > 1 and all(self._dequantised(name) for name in node.input):
            message = "both branches are quantised; quantise the identity branch alone, so that "
            message += "the other one's convolution takes the sum in"
            yield _finding(Severity.SLOW, "residual-both", node, message)


def _axis_of(node: NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 1)


def _flag(node: NodeProto, name: str) -> bool:
    return any(a.name == name and a.i for a in node.attribute)


def _nearest(node: NodeProto) -> bool:
    modes = (a.s for a in node.attribute if a.name == "mode")
    return node.op_type == "Resize" and next(modes, b"nearest") == b"nearest"


def _checkable(model: ModelProto) -> ModelProto:
    """A copy whose plugins have a domain of their own, and in which every domain is imported."""
    checked = ModelProto()
    checked.CopyFrom(model)
    del checked.opset_import[:]
    domains = {_short(opset.domain): opset.version for opset in model.opset_import}
    for node in checked.graph.node:
        node.domain = _short(node.domain)
        if not node.domain and not onnx.defs.has(node.op_type):
            node.domain = PLUGIN
        domains.setdefault(node.domain, 1)
    checked.opset_import.extend(helper.make_opsetid(*opset) for opset in domains.items())
    return checked


def _short(domain: str) -> str:
    return "" if domain in STANDARD else domain


def _constants(model: ModelProto) -> dict[str, npt.NDArray[Any]]:
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in (n for n in model.graph.node if n.domain in STANDARD):
        if node.op_type == "Identity" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            value = helper.get_attribute_value(attribute)
            if isinstance(value, TensorProto):
                values[node.output[0]] = numpy_helper.to_array(value)
            elif attribute.name.startswith("value_float"):
                values[node.output[0]] = np.asarray(value, np.float32)
            elif attribute.name.startswith("value_int"):
                values[node.output[0]] = np.asarray(value, np.int64)
    return values


def _types_and_ranks(model: ModelProto) -> tuple[dict[str, int], dict[str, int]]:
    """Each tensor's element type, and how many axes it has, as far as they are known."""
    graph = onnx.shape_inference.infer_shapes(_checkable(model)).graph
    tensors = {t.name: t.type.tensor_type for t in (*graph.input, *graph.value_info, *graph.output)}
    types = {name: tensor.elem_type for name, tensor in tensors.items()}
    return types, {name: len(tensor.shape.dim) for name, tensor in tensors.items()}


def _finding(severity: Severity, rule: str, node: NodeProto, message: str) -> Finding:
    return Finding(severity, rule, node.name or node.output[0], message)
