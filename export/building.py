"""Builds a bundle's TensorRT plans on the device that will run them; needs neither torch nor onnx.

Every precision that this TensorRT can build is built, checked on the golden images and timed; the
fastest that passes is kept (`runtime.plans`).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.plan import Recipe, build_plan, recipes, release_of
from runtime.engine import MOST_TILES
from runtime.errors import DefectgateError, EngineError, GpuLostError, QualityError
from runtime.golden import check_golden, golden_frames
from runtime.gpu import Device, this_device
from runtime.inspection import Inspector
from runtime.manifest import Bundle
from runtime.plans import (
    NETWORKS,
    SCHEMA,
    Candidate,
    Options,
    PlanRecord,
    require_writable,
    write_plans,
)
from runtime.record import write_atomically
from runtime.summary import OPEN_SHARE
from runtime.tensorrt_engine import TensorRtEngine
from runtime.tiling import tiles

WARM_UP_S, TIMED_S, AT_LEAST = 0.2, 1.0, 10  # as trtexec: never fewer than ten runs

AUTO = "auto"

console = Console(stderr=True)


@dataclass(frozen=True)
class BuildSettings:
    """What to build, and where to; `tiles` 0 is as many as a golden image has."""

    engines: Path
    precision: str = AUTO
    dla_core: int | None = None
    tiles: int = 0


@dataclass(frozen=True)
class _Built:
    """A candidate, and its files; none and its error where it is refused."""

    candidate: Candidate
    files: Mapping[str, bytes]
    error: DefectgateError | None = None

    @property
    def frame_ms(self) -> float:
        """What a tile takes where one frame in twenty is open."""
        gate_ms, mask_ms = self.candidate.gate_ms or 0.0, self.candidate.mask_ms or 0.0
        return gate_ms + OPEN_SHARE * mask_ms


def build(bundle: Bundle, settings: BuildSettings) -> Path:
    """Build, time and store the plans of `bundle`; the folder they lie in.

    Raises:
        EngineError: TensorRT or the GPU is missing, nothing could be built, or stored.
        QualityError: what was built gives other verdicts than the bundle's golden ones.
    """
    device = this_device()
    require_writable(settings.engines)
    options = Options(settings.precision, settings.dla_core, _tiles(bundle, settings.tiles))
    chosen = _chosen(bundle, device, settings)
    with _progress() as progress:
        timing = _timing_file(settings.engines, device)
        tried = [_attempt(bundle, recipe, options, timing, progress) for recipe in chosen]
    built = [made for made in tried if made.files]
    best = min(built, key=lambda made: made.frame_ms, default=None)
    _show(tried, best)
    if best is None:
        raise _refusal(bundle, tried)
    record = PlanRecord(
        schema=SCHEMA,
        bundle=bundle.sha256,
        device=device,
        options=options,
        precision=best.candidate.precision,
        candidates=tuple(made.candidate for made in tried),
        files={},
    )
    return write_plans(settings.engines, record, best.files)


def _chosen(bundle: Bundle, device: Device, settings: BuildSettings) -> list[Recipe]:
    found = recipes(bundle, release_of(device.tensorrt), settings.dla_core)
    names = ", ".join(recipe.precision.value for recipe in found) or "nothing"
    if settings.precision != AUTO:
        found = [r for r in found if r.precision.value == settings.precision]
    if not found:
        raise EngineError(
            f"--precision {settings.precision}: of {bundle.root} TensorRT {device.tensorrt} "
            f"can build {names} here; choose another, or export the bundle again with --int8"
        )
    return found


def _tiles(bundle: Bundle, asked: int) -> int:
    """The largest batch: what was asked for, else the golden images'; a frame may have more."""
    spec = bundle.manifest.input
    seen = [
        len(tiles(frame.size, spec.size, spec.fit, scale=spec.scale))
        for frame, _ in golden_frames(bundle)
    ]
    return asked or min(max(seen, default=1), MOST_TILES)


def _attempt(
    bundle: Bundle, recipe: Recipe, options: Options, timing_file: Path, progress: Progress
) -> _Built:
    try:
        return _built(bundle, recipe, options, timing_file, progress)
    except GpuLostError:
        raise
    except (EngineError, QualityError) as error:
        return _Built(Candidate(recipe.precision.value, refused=str(error)), {}, error)


def _refusal(bundle: Bundle, tried: list[_Built]) -> DefectgateError:
    """One error for all: of quality where something was built."""
    if len(tried) == 1 and tried[0].error:
        return tried[0].error
    reasons = "; ".join(f"{made.candidate.precision}: {made.error}" for made in tried)
    kinds = {type(made.error) for made in tried}
    kind = QualityError if QualityError in kinds else EngineError
    return kind(f"{bundle.root}: no precision can be used here: {reasons}")


def _built(
    bundle: Bundle, recipe: Recipe, options: Options, timing_file: Path, progress: Progress
) -> _Built:
    """One precision, built, checked and timed."""
    plans = {name: _plan(name, recipe, options, timing_file, progress) for name in NETWORKS}
    manifest = bundle.manifest
    engine = TensorRtEngine(
        plans,
        manifest.limits.threshold,
        recipe.precision.value,
        dla_core=options.dla_core,
        spin=True,  # a nap would blur the times
    )
    with closing(engine):
        inspector = Inspector(engine, manifest.input, manifest.limits, manifest.class_names)
        check = check_golden(bundle, inspector)
        spec = manifest.input
        gate_ms, mask_ms = _times(engine, (1, spec.height, spec.width, spec.channels))
        layers = {f"{name}.layers.json": text.encode() for name, text in engine.layers().items()}
    difference = round(check.largest_difference, 6)
    candidate = Candidate(recipe.precision.value, gate_ms, mask_ms, difference)
    return _Built(candidate, {f"{name}.plan": plan for name, plan in plans.items()} | layers)


def _plan(
    name: str, recipe: Recipe, options: Options, timing_file: Path, progress: Progress
) -> bytes:
    timing = timing_file.read_bytes() if timing_file.is_file() else b""
    what = f"{recipe.precision.value} {name}"
    task = progress.add_task(what, total=None)

    def step(phase: str, done: int, total: int) -> None:
        progress.update(task, description=f"{what}: {phase}", completed=done, total=total)

    batch = {"image": options.tiles}
    plan, timing = build_plan(name, recipe, batch, options.dla_core, timing, step)
    progress.update(task, description=what, completed=1, total=1)
    write_atomically(timing_file, timing)
    return plan


def _timing_file(engines: Path, device: Device) -> Path:
    """One for each release and GPU: TensorRT takes no other's."""
    text = json.dumps([device.tensorrt, device.gpu])
    return engines / f"timing-{''.join(c if c.isalnum() else '-' for c in text).strip('-')}.cache"


def _times(engine: TensorRtEngine, shape: tuple[int, ...]) -> tuple[float, float]:
    """Medians of the gate and of the mask head of one tile, in milliseconds."""
    image = np.zeros(shape, np.uint8)
    gates: list[float] = []
    masks: list[float] = []
    begin = perf_counter()
    while perf_counter() - begin < WARM_UP_S + TIMED_S or len(gates) < AT_LEAST:
        before = perf_counter()
        _, skips = engine.gate(image)
        between = perf_counter()
        engine.mask(skips, 0)
        if before - begin >= WARM_UP_S:
            gates.append(between - before)
            masks.append(perf_counter() - between)
    return round(1000 * median(gates), 4), round(1000 * median(masks), 4)


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


def _show(tried: list[_Built], best: _Built | None) -> None:
    table = Table("precision", "gate", "mask", "golden scores off by", "")
    for made in tried:
        candidate = made.candidate
        times = (candidate.gate_ms, candidate.mask_ms)
        shown = ["-" if ms is None else f"{ms:.3f} ms" for ms in times]
        off = candidate.golden_difference
        kept = "kept" if made is best else "refused" if made.error else ""
        table.add_row(candidate.precision, *shown, "-" if off is None else f"{off:.4f}", kept)
    console.print(table)
