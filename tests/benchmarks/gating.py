"""What the gate and INT8 are worth, each against a named opponent in the same run.

    python tests/benchmarks/gating.py --bundle demo/bundle --camera demo/strip/images/test

The contenders take turns of twenty frames, one of them with the gate open, so that what else the
machine does hits all of them; a value is the median over the turns of a turn's mean, in brackets
its 95 % interval by bootstrap. With `--openvino FOLDER`, where OpenVINO was installed by
`pip install --target FOLDER openvino`, the same INT8 files are run by it too.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tables import put, table

from runtime.engine import MOST_TILES, Engine
from runtime.frame import Frame
from runtime.inspection import Inspector
from runtime.machine import lacks_vnni, others_seconds, this_machine
from runtime.manifest import Bundle, open_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.sources import open_source
from runtime.verdict import Answer

SHUT, OPEN = 19, 1
Times = npt.NDArray[np.float64]


class OpenVinoEngine:
    """The engine contract over OpenVINO, on the CPU."""

    tiles = MOST_TILES

    def __init__(self, folder: Path) -> None:
        import openvino

        core = openvino.Core()
        core.set_property("CPU", {"PERFORMANCE_HINT": "LATENCY"})
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        networks = [core.compile_model(folder / f"{part}.onnx", "CPU") for part in ("gate", "mask")]
        self._gate, self._mask = (network.create_infer_request() for network in networks)
        self._skips = [tensor.get_any_name() for tensor in networks[1].inputs]

    def gate(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Any]:
        """Scores and skips."""
        self._gate.infer({"image": images})
        skips = {name: self._gate.get_tensor(name).data for name in self._skips}
        return np.array(self._gate.get_tensor("score").data), skips

    def mask(self, skips: Any, tile: int) -> npt.NDArray[np.uint8]:
        """The mask of one tile."""
        self._mask.infer({name: skip[tile : tile + 1] for name, skip in skips.items()})
        return np.array(self._mask.get_tensor("mask").data[0], np.uint8)


def main() -> None:
    """Measure, and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--camera", required=True, help="a folder with good and defective frames")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--openvino", type=Path, help="folder with OpenVINO")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    if asked.openvino:
        sys.path.append(str(asked.openvino))
    bundle = open_bundle(asked.bundle)
    shut, opened = sorted_frames(bundle, asked.camera)
    others, began = others_seconds(), time.monotonic()
    measured = in_turns(
        contenders(bundle, shut, opened, openvino=bool(asked.openvino)), asked.turns
    )
    others_cores = (others_seconds() - others) / (time.monotonic() - began)
    machine = this_machine()
    vnni = ", VNNI" if machine.architecture == "x86_64" and not lacks_vnni() else ""
    title = (
        f"{machine.model}{vnni}, {machine.cores} cores, of which other programs took "
        f"{others_cores:.2f}; {len(shut)} frames shut, {len(opened)} open, {asked.turns} turns of "
        f"{SHUT + OPEN} frames"
    )
    text = table(title, ["", "ms", "opponent", "ms", "ratio", "asked"], list(rows(measured)))
    sys.stdout.write(text + "\n")
    if asked.write:
        put("README.md", "gating", text)


def sorted_frames(bundle: Bundle, uri: str) -> tuple[list[Frame], list[Frame]]:
    """The source's frames, by whether the bundle leaves the gate shut."""
    inspector = inspector_of(bundle, OnnxEngine(*networks(bundle, "cpu")))
    with open_source(uri, bundle.manifest.input.channels) as source:
        frames = list(source)
    answers = [inspector.inspect(frame).verdict.verdict for frame in frames]
    shut = [frame for frame, a in zip(frames, answers, strict=True) if a is Answer.OK]
    opened = [frame for frame, a in zip(frames, answers, strict=True) if a is not Answer.OK]
    if not shut or not opened:
        sys.exit(f"--camera {uri}: expected frames of both kinds, got {len(shut)}, {len(opened)}")
    return shut, opened


def contenders(
    bundle: Bundle, shut: list[Frame], opened: list[Frame], *, openvino: bool
) -> dict[str, Callable[[], float]]:
    """By name, what judges a turn of frames and gives ms a frame."""
    int8 = OnnxEngine(*networks(bundle, "cpu"))
    exact = OnnxEngine(*networks(bundle, "tensorrt/float"))
    gated, always = inspector_of(bundle, int8), inspector_of(bundle, int8, threshold=-1.0)
    float_always = inspector_of(bundle, exact, threshold=-1.0)
    mixed = [cycle(shut)] * SHUT + [cycle(opened)] * OPEN
    good, bad = [cycle(shut)] * SHUT, [cycle(opened)] * OPEN
    found = {
        "mixed, gated": judging(gated, mixed),
        "mixed, always": judging(always, mixed),
        "clean, gated": judging(gated, good),
        "clean, always": judging(always, good),
        "open, gated": judging(gated, bad * 5),
        "gate, int8": gating(int8, gated, good),
        "gate, float": gating(exact, gated, good),
        "clean, float, always": judging(float_always, good),
        "overhead": overhead(gated, good),
    }
    if openvino:
        other = inspector_of(bundle, OpenVinoEngine(bundle.root / "cpu"), threshold=-1.0)
        found["mixed, openvino, always"] = judging(other, mixed)
    return found


def in_turns(calls: dict[str, Callable[[], float]], turns: int) -> dict[str, Times]:
    """Each contender's ms, turn by turn, after one turn that is not counted."""
    taken = [{name: call() for name, call in calls.items()} for _ in range(turns + 1)][1:]
    return {name: np.array([turn[name] for turn in taken]) for name in calls}


def rows(measured: dict[str, Times]) -> Iterator[list[str]]:
    """Gate and INT8 beside their opponents, and how well each was asked to do."""
    clean, opened = measured["clean, gated"], measured["open, gated"]
    share = OPEN / (SHUT + OPEN)
    sum_of_parts = clean + share * (opened - clean)
    mixed = measured["mixed, gated"]
    always = measured["mixed, always"]
    yield row(
        "5 % of frames open, INT8", mixed, "gate + 5 % of mask", sum_of_parts, "1.05 at most", 1
    )
    yield row("5 % of frames open, INT8", mixed, "mask always on", always)
    yield row("clean frame, INT8", clean, "mask always on", measured["clean, always"], "2 at least")
    if "mixed, openvino, always" in measured:
        openvino = measured["mixed, openvino, always"]
        yield row(
            "5 % of frames open, INT8", mixed, "OpenVINO, mask always on", openvino, "1.5 at least"
        )
    exact = measured["clean, float, always"]
    yield row("gate and mask, INT8", measured["clean, always"], "float", exact, "2 at least")
    yield row("gate, INT8", measured["gate, int8"], "float", measured["gate, float"], "2 at least")
    overhead_ms = measured["overhead"]
    yield ["frame less engine, gate shut", shown(overhead_ms), "-", "-", "-", "0.5 ms at most"]


def row(
    title: str, ours: Times, opponent: str, theirs: Times, asked: str = "-", sign: int = -1
) -> list[str]:
    """One row; the ratio is how many times faster, or by `sign` 1 how many times as long."""
    ratio = (ours / theirs) if sign > 0 else (theirs / ours)
    return [title, shown(ours), opponent, shown(theirs), shown(ratio), asked]


def shown(values: Times) -> str:
    """The median, and its interval."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return f"{np.median(values):.2f} ({low:.2f} to {high:.2f})"


def judging(inspector: Inspector, order: Sequence[Iterator[Frame]]) -> Callable[[], float]:
    """Judges a frame of each source in turn; ms a frame."""

    def turn() -> float:
        frames = [next(source) for source in order]
        inspector.inspect(frames[0])  # wakes what has gone cold
        began = time.perf_counter()
        for frame in frames:
            inspector.inspect(frame)
        return (time.perf_counter() - began) * 1000 / len(frames)

    return turn


def gating(
    engine: Engine, inspector: Inspector, order: Sequence[Iterator[Frame]]
) -> Callable[[], float]:
    """Runs the engine's gate alone; ms a frame."""

    def turn() -> float:
        batches = [inspector.preprocess(next(source))[1].copy() for source in order]
        engine.gate(batches[0])
        began = time.perf_counter()
        for batch in batches:
            engine.gate(batch)
        return (time.perf_counter() - began) * 1000 / len(batches)

    return turn


def overhead(inspector: Inspector, order: Sequence[Iterator[Frame]]) -> Callable[[], float]:
    """What a frame takes beside its engine, gate shut: the median of a turn, ms."""

    def turn() -> float:
        return float(np.median([beside(inspector, next(source)) for source in order]))

    return turn


def beside(inspector: Inspector, frame: Frame) -> float:
    """End to end less the engine, ms."""
    began = time.perf_counter()
    verdict = inspector.inspect(frame).verdict
    return (time.perf_counter() - began) * 1000 - verdict.latency_ms["gate"]


def inspector_of(bundle: Bundle, engine: Engine, threshold: float | None = None) -> Inspector:
    """An inspector with another engine, or another threshold."""
    manifest = bundle.manifest
    opens_at = manifest.limits.threshold if threshold is None else threshold
    limits = replace(manifest.limits, threshold=opens_at)
    return Inspector(engine, manifest.input, limits, manifest.class_names)


def networks(bundle: Bundle, rendering: str) -> tuple[Path, Path]:
    """Gate and mask head."""
    folder = bundle.root / rendering
    return folder / "gate.onnx", folder / "mask.onnx"


if __name__ == "__main__":
    main()
