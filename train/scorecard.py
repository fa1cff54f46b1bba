"""What `evaluate` shows: a model's numbers on a split, and the defects it missed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from runtime.errors import DataError, ModelError, QualityError
from runtime.inspection import Inspector
from runtime.manifest import MANIFEST, Metrics, open_bundle
from runtime.progress import progress
from runtime.record import write_atomically
from runtime.spec import InputSpec
from train.contrast import CLEARLY_VISIBLE
from train.dataset import read_dataset
from train.evaluation import outcome, predictions
from train.metrics import Outcome, summary

console = Console()


@dataclass(frozen=True)
class Judge:
    """Something that can be evaluated, and what it takes."""

    inspector: Inspector
    spec: InputSpec


def evaluate(
    model: Path, data: Path, split: str, out: Path | None, verdicts: Path | None
) -> Metrics:
    """Measure the run or bundle `model` on a split, print it, and write it to `out` as JSON.

    With `verdicts`, the lines that the runtime wrote for the same samples: theirs must be the
    same answers, and their times are shown.

    Raises:
        ModelError, ManifestError, DataError: an input is wrong.
        QualityError: the runtime's verdicts are others.
    """
    judge = _judge(model)
    samples = read_dataset(data).split(split)
    seen = predictions(judge.inspector, samples, judge.spec)
    shown = progress(seen, "evaluating", len(samples))
    outcomes = [outcome(prediction, judge.inspector.limits) for prediction in shown]
    metrics = summary(outcomes, judge.inspector.limits.threshold)
    lines = _read_verdicts(verdicts) if verdicts else []
    _print(outcomes, metrics, lines)
    if out:
        write_atomically(out, json.dumps(metrics, indent=2).encode() + b"\n")
    if verdicts:
        _require_same(outcomes, lines, verdicts)
    return metrics


def _judge(model: Path) -> Judge:
    if (model / MANIFEST).exists():
        from runtime.loop import inspector_of_bundle

        bundle = open_bundle(model)
        return Judge(inspector_of_bundle(bundle), bundle.manifest.input)
    if not model.is_dir():
        raise ModelError(f"--model {model}: no such folder; name a training run or a bundle")
    from train.checkpoint import load_model
    from train.torch_engine import TorchEngine

    network, record = load_model(model)
    engine = TorchEngine(network)
    return Judge(Inspector(engine, record.input, record.limits, record.class_names), record.input)


def _read_verdicts(path: Path) -> list[dict[str, Any]]:
    fields = {"source", "verdict", "score", "latency_ms"}
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        verdicts = [line for line in lines if line["type"] == "verdict"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"--verdicts {path}: cannot be read ({error}); run the runtime") from error
    for line in verdicts:
        if fields - line.keys():
            missing = sorted(fields - line.keys())
            raise DataError(f"--verdicts {path}: a line has no {missing}; run the runtime again")
    return verdicts


def _require_same(outcomes: Sequence[Outcome], lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Samples are matched by file name, answers and scores compared bit by bit."""
    ours = {Path(o.name).name: ("NG" if o.opened else "OK", o.score) for o in outcomes}
    theirs = {line["source"]: (line["verdict"], line["score"]) for line in lines}
    if len(ours) < len(outcomes) or len(theirs) < len(lines):
        raise DataError(f"--verdicts {path}: two samples share a file name; give each its own")
    different = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    if different:
        raise QualityError(
            f"--verdicts {path}: {len(different)} of {len(ours)} verdicts are not the ones "
            f"computed here, such as {different[0]}; run the runtime on this bundle and split"
        )
    console.print(f"verdicts: all {len(ours)} the same as the runtime's")


def _print(outcomes: Sequence[Outcome], metrics: Metrics, lines: Sequence[dict[str, Any]]) -> None:
    table = Table(show_header=False)
    for name, value in _rows(outcomes, metrics) + _times(lines):
        table.add_row(name, value)
    console.print(table)
    missed = [o for o in outcomes if o.defective and not o.opened]
    for o in sorted(missed, key=lambda o: -o.contrast)[:10]:
        console.print(
            f"missed: {o.name}  {o.kind}  {o.raw.true_px} px  contrast {o.contrast:.1f}  "
            f"score {o.score:.3f}",
            soft_wrap=True,
        )


def _rows(outcomes: Sequence[Outcome], metrics: Metrics) -> list[tuple[str, str]]:
    defective = [o for o in outcomes if o.defective]
    visible = [o for o in defective if o.contrast >= CLEARLY_VISIBLE]
    false = sum(o.opened for o in outcomes if not o.defective)
    return [
        ("samples", f"{len(outcomes)}, {len(defective)} defective"),
        ("OK", str(sum(not o.opened for o in outcomes))),
        ("NG", str(sum(o.opened for o in outcomes))),
        ("missed", f"{sum(not o.opened for o in defective)} of {len(defective)}"),
        ("missed, clearly visible", f"{sum(not o.opened for o in visible)} of {len(visible)}"),
        ("false", f"{false} of {len(outcomes) - len(defective)}"),
        ("threshold", _number(metrics, "threshold")),
        ("image AP, AUROC", f"{_number(metrics, 'image_ap')}, {_number(metrics, 'image_auroc')}"),
        (
            "Seg_mIoU raw, gated",
            f"{_number(metrics, 'seg_miou')}, {_number(metrics, 'gated_seg_miou')}",
        ),
        (
            "Seg_Recall raw, gated",
            f"{_number(metrics, 'seg_recall')}, {_number(metrics, 'gated_seg_recall')}",
        ),
        ("pooled mIoU", _number(metrics, "pooled_miou")),
    ]


def _times(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The runtime's median time a frame, by answer."""
    by_answer: Mapping[str, list[float]] = {"NG": [], "OK": []}
    for line in lines:
        if line["verdict"] in by_answer:
            by_answer[line["verdict"]].append(line["latency_ms"]["total"])
    names = {"NG": "time a frame, gate open", "OK": "time a frame, gate shut"}
    return [(names[answer], f"{median(ms):.2f} ms") for answer, ms in by_answer.items() if ms]


def _number(metrics: Metrics, name: str) -> str:
    value = metrics[name]
    return "-" if value is None else f"{value:.3f}"
