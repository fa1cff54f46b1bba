"""What `evaluate` shows: a model's numbers on a split, and the defects it missed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runtime.errors import DataError, ModelError, QualityError
from runtime.inspection import answer_to
from runtime.manifest import Metrics
from runtime.record import write_atomically
from runtime.spec import Limits
from train.dataset import ALL, Dataset, check_sample, read_dataset
from train.evaluation import Prediction, outcome, predictions
from train.intervals import difference_intervals
from train.judge import Judge, float_judge_of, judge_of
from train.measured import Measured, measure
from train.progress import progress
from train.report.gallery import Gallery, Seen

console = Console()


def evaluate(
    model: Path,
    data: Path | str,
    split: str,
    out: Path | None,
    verdicts: Path | None,
    report: Path | None = None,
    beside: Path | None = None,
) -> Metrics:
    """Measure the run or bundle `model` on a split, print it, and write it to `out` as JSON.

    With `verdicts`, the lines that the runtime wrote for the same samples: theirs must be the
    same answers, and their times are shown. With `beside`, a second model on the same samples.
    With `report`, a folder for `report.html`; there an INT8 bundle has its float network beside
    it, where no other model is named.

    Raises:
        ModelError, ManifestError, DataError: an input is wrong.
        QualityError: the runtime's verdicts are others.
    """
    if report and report.exists() and not report.is_dir():
        raise DataError(f"--report {report}: is a file; name a folder, which need not exist")
    judges = _judges(model, beside, report)
    dataset = read_dataset(data)
    for judge in judges if split != ALL else ():
        dataset.require_unchanged(judge.data_digest, judge.path)
    for sample in progress(dataset.split(split), "checking masks"):
        check_sample(sample)
    lines = _read_verdicts(verdicts) if verdicts else []
    gallery = Gallery() if report else None
    measured = measure_all(judges, dataset, split, gallery)
    _print(measured, lines)
    if out:
        write_atomically(out, json.dumps(_record(measured), indent=2).encode() + b"\n")
    if report and gallery:
        from train.report.report import write_report

        written = write_report(report, dataset, split, measured, gallery)
        console.print(f"report: {written}", soft_wrap=True, markup=False)
    if verdicts:
        _require_same(measured[0], lines, verdicts)
    return measured[0].metrics


def _judges(model: Path, beside: Path | None, report: Path | None) -> list[Judge]:
    judge = judge_of(model)
    if beside:
        return _told_apart(judge, judge_of(beside))
    exact = float_judge_of(model) if report else None
    return [judge, exact] if exact else [judge]


def _told_apart(judge: Judge, other: Judge) -> list[Judge]:
    """Both, their folders in their titles where those are the same: by name, if that will do."""
    if judge.path == other.path:
        raise ModelError(f"--beside {other.path}: is --model itself; name another run or bundle")
    if judge.title != other.title:
        return [judge, other]
    both = (judge, other)
    folders = [j.path.resolve().name for j in both]
    if folders[0] == folders[1]:
        folders = [str(j.path) for j in both]
    return [replace(j, title=f"{j.title}, {f}") for j, f in zip(both, folders, strict=True)]


def measure_all(
    judges: Sequence[Judge], dataset: Dataset, split: str, gallery: Gallery | None
) -> list[Measured]:
    """Each judge on the same samples, one sample at a time, so that no image is kept."""
    samples = [dataset.taught(j.inspector.class_names).split(split) for j in judges]
    seen = (predictions(j.inspector, s, j.spec) for j, s in zip(judges, samples, strict=True))
    outcomes = []
    for together in progress(zip(*seen, strict=True), "evaluating", len(samples[0])):
        sample = [_seen(p, j.inspector.limits) for p, j in zip(together, judges, strict=True)]
        if gallery:
            gallery.add(sample)
        outcomes.append([by_judge.outcome for by_judge in sample])
    of_judges = zip(*outcomes, strict=True)
    return [measure(judge, found) for judge, found in zip(judges, of_judges, strict=True)]


def _seen(prediction: Prediction, limits: Limits) -> Seen:
    return Seen(prediction, limits, outcome(prediction, limits))


def _record(measured: Sequence[Measured]) -> dict[str, Any]:
    """The first model's numbers, and under `beside` those of the second, and what differs."""
    first, *others = measured
    record = first.record()
    for other in others:
        both = zip(first.outcomes, other.outcomes, strict=True)
        record["beside"] = {
            "model": str(other.judge.path),
            **other.record(),
            "differing": [a.name for a, b in both if a.opened != b.opened],
            "difference_intervals": difference_intervals(first.outcomes, other.outcomes),
        }
    return record


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


def _require_same(measured: Measured, lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Samples are matched by file name, answers and scores compared bit by bit."""
    outcomes, limits = measured.outcomes, measured.judge.inspector.limits
    ours = {Path(o.name).name: (answer_to(o.score, limits).value, o.score) for o in outcomes}
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


def _print(measured: Sequence[Measured], lines: Sequence[dict[str, Any]]) -> None:
    titles = [escape(m.judge.title) for m in measured] if len(measured) > 1 else []
    table = Table(*(["", *titles] if titles else []), show_header=bool(titles))
    for name in (columns := [_rows(m) for m in measured])[0]:
        table.add_row(name, *(column[name] for column in columns))
    for name, value in _times(lines):
        table.add_row(name, value)
    console.print(table)
    for o in measured[0].missed[:10]:
        where = f"{o.raw.true_px} px  contrast {o.contrast:.1f}" if o.drawn else "not drawn"
        console.print(
            f"missed: {o.name}  {o.kind}  {where}  score {o.score:.3f}",
            soft_wrap=True,
            markup=False,
        )


def _rows(measured: Measured) -> dict[str, str]:
    outcomes, visible = measured.outcomes, measured.clearly_visible
    n_defective = sum(o.defective for o in outcomes)
    objects = measured.parts.by_group
    return {
        "samples": f"{len(outcomes)}, {n_defective} defective",
        "OK": str(sum(not o.opened for o in outcomes)),
        "NG": str(sum(o.opened for o in outcomes)),
        "missed": f"{len(measured.missed)} of {n_defective}",
        "missed, clearly visible": f"{sum(not o.opened for o in visible)} of {len(visible)}",
        "missed objects": f"{objects.n - objects.caught} of {objects.n}",
        "false": f"{len(measured.false_alarms)} of {len(outcomes) - n_defective}",
        "threshold": _number(measured, "threshold"),
        "recall": _number(measured, "recall"),
        "false rejects": _number(measured, "false_reject_rate"),
        "image AP": _number(measured, "image_ap"),
        "image AUROC": _number(measured, "image_auroc"),
        "Seg_mIoU raw": _number(measured, "seg_miou"),
        "Seg_mIoU gated": _number(measured, "gated_seg_miou"),
        "Seg_Recall raw": _number(measured, "seg_recall"),
        "Seg_Recall gated": _number(measured, "gated_seg_recall"),
        "pooled mIoU": _number(measured, "pooled_miou"),
        "recall at 5 % false": _number(measured, "recall_at_5"),
    }


def _times(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The runtime's median time a frame, by answer."""
    by_answer: Mapping[str, list[float]] = {"NG": [], "OK": []}
    for line in lines:
        if line["verdict"] in by_answer:
            by_answer[line["verdict"]].append(line["latency_ms"]["total"])
    names = {"NG": "time a frame, gate open", "OK": "time a frame, gate shut"}
    return [(names[answer], f"{median(ms):.2f} ms") for answer, ms in by_answer.items() if ms]


def _number(measured: Measured, name: str) -> str:
    """Three digits, and where it may lie with 95 % confidence."""
    value, interval = measured.metrics[name], measured.intervals.get(name)
    if value is None:
        return "-"
    return f"{value:.3f}" + (f"  ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
