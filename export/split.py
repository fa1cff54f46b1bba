"""Cuts a whole network in two at its skips: the gate, and the mask head."""

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import ModelProto

from export.float_onnx import SKIPS, part_of

MASK = "/decoder"  # how the mask head's nodes begin


def write_split(model: ModelProto, folder: Path, border: Callable[[str], str] = str) -> None:
    """Write `gate.onnx` (image -> score, skips) and `mask.onnx` (skips -> mask) into `folder`.

    `border` gives the tensor at which a skip is handed over: the skip itself, or its INT8 form,
    where it has one and the mask head reads that.
    In both files it is called `skip_1` to `skip_5`.
    """
    folder.mkdir(parents=True)
    made = {name for node in model.graph.node for name in node.output}
    drawn_from = {n for node in model.graph.node if node.name.startswith(MASK) for n in node.input}
    as_it_is = {skip for skip in SKIPS if border(skip) not in made or skip in drawn_from}
    names = {skip if skip in as_it_is else border(skip): skip for skip in SKIPS}
    gate = part_of(model, ["image"], ["score", *names])
    mask = part_of(model, list(names), ["mask"])
    for part, name in ((gate, "gate.onnx"), (mask, "mask.onnx")):
        renamed = _renamed(part, names)
        onnx.checker.check_model(renamed, full_check=True)
        onnx.save(renamed, folder / name)


def _renamed(model: ModelProto, names: dict[str, str]) -> ModelProto:
    """The same graph with the tensors in `names` called by their new names."""
    new = {skip: f"{skip}.float" for old, skip in names.items() if old != skip} | names
    graph = model.graph
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for tensor in (*graph.input, *graph.output, *graph.value_info):
        tensor.name = new.get(tensor.name, tensor.name)
    return model
