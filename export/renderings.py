"""The INT8 renderings of one float network, each with as few float layers as keep its recall."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto
from rich.console import Console

from calibration.calibrating import Calibration, calibration_tiles
from export.correction import Shifts, corrected, shifts_of
from export.cpu import quantize_for_cpu
from export.fallback import fewest_float_layers
from export.judging import (
    Judged,
    Source,
    comparing_threshold,
    inspector_of,
    judge,
    outcomes_of,
)
from export.parity import AT_THRESHOLD, Cost, broken_limits, flipped, losses
from export.qdq import insert_qdq
from export.sensitivity import harms
from export.split import write_split
from export.typed import insert_typed_qdq

ASKED = 16  # calibration images for the sensitivity of the layers
Quantize = Callable[[ModelProto, Mapping[str, tuple[float, float]], Collection[str]], ModelProto]

console = Console(stderr=True)


@dataclass(frozen=True)
class Kind:
    """A kind of rendering: its folder, how it is made, and what its INT8 tensors are called.

    `fused` is how onnxruntime runs it best (`runtime.onnx_engine`): its INT8 kernels are slow on
    signed activations, and know no float16. `rounds_as` names the first kind that rounds the same.
    """

    name: str
    quantize: Quantize
    border: str
    rounds_as: str
    fused: bool = True


CPU = Kind("cpu", quantize_for_cpu, "{}_QuantizeLinear_Output", "cpu")
TENSORRT = Kind("tensorrt", insert_qdq, "{}.int8", "tensorrt", fused=False)
TYPED = Kind("tensorrt/typed", insert_typed_qdq, "{}.int8", "tensorrt", fused=False)


@dataclass(frozen=True)
class Rendering:
    """One attempt at a rendering: its folder, its float layers, and how it compares."""

    folder: Path
    float_layers: Sequence[str]
    judged: Judged
    losses: dict[str, float]
    broken: Sequence[str]


@dataclass(frozen=True)
class Quantizer:
    """Makes renderings of the float `model` in the folder `beside`, and compares them with it."""

    model: ModelProto
    calibration: Calibration
    source: Source
    exact: Judged
    beside: Path
    shifts: dict[str, Shifts] = field(default_factory=dict)  # by `Kind.rounds_as`

    def render(self, kind: Kind, float_layers: Sequence[str], leader: Judged | None) -> Rendering:
        """One attempt.

        It takes the limits of the `leader`, and must keep the recall that this has by them, or at
        `comparing_threshold`; without one it gets a threshold of its own, and may promise.
        """
        folder = self.beside / f"{kind.name}-{len(float_layers)}"
        write_split(self.quantized(kind, float_layers), folder, kind.border.format)
        if leader:
            limits = leader.inspector.limits
            inspector = inspector_of(folder, self.source.record, limits, fused=kind.fused)
            judged = Judged(inspector, None, outcomes_of(inspector, self.source))
        else:
            judged = judge(folder, self.source)
        comparing = self.source.comparing
        exact, found = self.exact.metrics_on(comparing), judged.metrics_on(comparing)
        lost, broken = losses(exact, found), broken_limits(exact, found)
        if leader:
            threshold = comparing_threshold(leader, self.source)
            reached, found = (j.metrics_on(comparing, threshold) for j in (leader, judged))
            lost |= losses(reached, found, AT_THRESHOLD)
            broken += broken_limits(reached, found, AT_THRESHOLD)
        return Rendering(folder, float_layers, judged, lost, broken)

    def harms(self, kind: Kind) -> dict[str, float]:
        """How much each layer harms, over calibration images; the most harmful first."""
        tiles = self.tiles(ASKED)
        level = self.source.record.limits.mask_threshold
        quantize = partial(self.quantized, kind)
        return harms(self.model, quantize, tiles, level, fused=kind.fused)

    def quantized(self, kind: Kind, float_layers: Sequence[str]) -> ModelProto:
        """The network as a rendering of this kind holds it, in one piece."""
        ranges = self.calibration.scales.ranges
        if kind.rounds_as not in self.shifts:
            tiles = self.tiles(len(self.calibration.images.images))
            self.shifts[kind.rounds_as] = shifts_of(
                self.model, lambda model: kind.quantize(model, ranges, ()), tiles
            )
        model = corrected(self.model, self.shifts[kind.rounds_as], float_layers)
        return kind.quantize(model, ranges, float_layers)

    def tiles(self, most: int) -> list[npt.NDArray[np.uint8]]:
        """The tiles of at most so many calibration images, taken evenly."""
        images = self.calibration.images.images[:: -(-len(self.calibration.images.images) // most)]
        root, spec = self.source.dataset.root, self.source.record.input
        return list(calibration_tiles(images, root, self.exact.inspector, spec))


def held(
    quantizer: Quantizer, kind: Kind, leader: Judged | None, twin: Cost | None = None
) -> tuple[Rendering, Cost]:
    """The rendering of this kind that keeps parity with the fewest float layers, and its cost.

    `leader` is as `Quantizer.render` has it. Where none keeps parity, the last one that was tried.
    What is known of its `twin`, a kind that rounds the same, is not asked again.
    """
    harm = dict(twin.harms) if twin else {}

    def attempt(float_layers: Sequence[str]) -> Rendering:
        tried = quantizer.render(kind, float_layers, leader)
        if tried.broken or float_layers:
            state = "; ".join(tried.broken) or "within the limits"
            layers = f"{len(float_layers)} layers in float" if float_layers else "INT8 throughout"
            console.print(f"{kind.name}, {layers}: {state}", soft_wrap=True)
        return tried

    def by_harm() -> Sequence[str]:
        harm.update({} if harm else quantizer.harms(kind))
        return list(harm)

    found = fewest_float_layers(attempt, by_harm, len(twin.float_layers) if twin else 0)
    flips = flipped(quantizer.exact.outcomes, found.judged.outcomes)
    return found, Cost(tuple(found.float_layers), found.losses, tuple(found.broken), harm, flips)


def least_loss(renderings: Sequence[Rendering]) -> int:
    """Which of the renderings lost least: of Seg_Recall, then of AP; the first of equals."""
    lost = [(r.losses["seg_recall"], r.losses["image_ap"]) for r in renderings]
    return lost.index(min(lost))
