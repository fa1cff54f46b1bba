"""What `evaluate` shows: a model's numbers on a split, what it missed, and its false alarms."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runtime.errors import DataError, ModelError, QualityError
from runtime.images import readable
from runtime.inspection import answer_to
from runtime.manifest import Metrics
from runtime.record import require_place, write_atomically
from runtime.spec import Limits
from runtime.verdict import Answer
from train.dataset import ALL, Dataset, check_sample, read_dataset
from train.evaluation import Prediction, outcome, predictions
from train.intervals import difference_intervals
from train.judge import Judge, float_judge_of, judge_of
from train.measured import Measured, measure
from train.metrics import Outcome
from train.progress import progress
from train.report.gallery import Gallery, Seen
from train.report.scores import score_text

REVIEW_ROWS = frozenset({"REVIEW", "good, but for a person", "REVIEW below"})
DIFFERENCES = {
    "recall": "recall",
    "false_reject_rate": "false rejects",
    "gated_seg_miou": "Seg_mIoU gated",
}  # the names in result files, and in the table
# Of a score: kinds of processors round a network's float parts otherwise, which in INT8 may tip a
# value to the next step. Between AVX2 and an emulated SSE4, 0.0053 was seen.
NEAR = 0.01
LISTED = 10  # of each kind of mistake
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
    if out:
        require_place("--json", out, is_folder=False)
    if report:
        require_place("--report", report, is_folder=True)
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
    if split == ALL and any(judge.data_digest == dataset.digest for judge in judges):
        console.print(
            "--split all of this set includes what the model was taught: good for --verdicts, "
            "says nothing of new parts",
            soft_wrap=True,
        )
    if out:
        write_atomically(out, json.dumps(_record(measured), indent=2).encode() + b"\n")
    if report and gallery:
        from train.report.report import write_report

        written = write_report(report, dataset, split, measured, gallery)
        console.print(f"report: {readable(str(written))}", soft_wrap=True, markup=False)
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
    titles = [f"{j.title}, {readable(folder)}" for j, folder in zip(both, folders, strict=True)]
    return [replace(j, title=title) for j, title in zip(both, titles, strict=True)]


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
            "model": readable(str(other.judge.path)),
            **other.record(),
            "differing": [a.name for a, b in both if a.opened != b.opened],
            "difference_intervals": difference_intervals(first.outcomes, other.outcomes),
        }
    return record


class Latency(msgspec.Struct):
    """How long a frame took."""

    total: float


class Line(msgspec.Struct):
    """What is needed of a line of the runtime."""

    source: str
    verdict: str
    score: float | None
    latency_ms: Latency


def _read_verdicts(path: Path) -> list[Line]:
    try:
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        return [msgspec.convert(line, Line) for line in lines if line["type"] == "verdict"]
    except (OSError, ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
        raise DataError(f"--verdicts {path}: cannot be read ({error}); run the runtime") from error


def _require_same(measured: Measured, lines: Sequence[Line], path: Path) -> None:
    """Samples are matched by file name; answers must be the same, scores as near as `NEAR`."""
    outcomes, limits = measured.outcomes, measured.judge.inspector.limits
    ours = {Path(o.name).name: (answer_to(o.score, limits).value, o.score) for o in outcomes}
    theirs = {line.source: (line.verdict, line.score) for line in lines}
    if len(ours) < len(outcomes) or len(theirs) < len(lines):
        raise DataError(f"--verdicts {path}: two samples share a file name; give each its own")
    both = ours.keys() & theirs.keys()
    wrong = (
        ("samples of this split have no verdict", ours.keys() - both, ours),
        ("verdicts are of no sample of this split", theirs.keys() - both, theirs),
    )
    found = [f"{len(n)} of {len(of)} {what}, such as {min(n)}" for what, n, of in wrong if n]
    if found:
        raise QualityError(
            f"--verdicts {path}: {', and '.join(found)}; run the runtime with this bundle on this "
            f"split's images, or take --split {ALL} where it ran on the whole set"
        )
    others = sorted(name for name in both if not _agree(ours[name], theirs[name]))
    if others:
        here, there = (_told(*answers[others[0]]) for answers in (ours, theirs))
        raise QualityError(
            f"--verdicts {path}: {len(others)} of {len(both)} verdicts are not the ones computed "
            f"here, such as {others[0]}: {here} here, {there} there; they come from another "
            "processor, engine or bundle: run the runtime again as it is to be used"
        )
    console.print(f"verdicts: all {len(ours)} the same as the runtime's")


def _agree(ours: tuple[str, float], theirs: tuple[str, float | None]) -> bool:
    score = theirs[1]
    return ours[0] == theirs[0] and isinstance(score, float) and abs(ours[1] - score) <= NEAR


def _told(answer: str, score: float | None) -> str:
    return f"{answer} at {score:.4f}" if isinstance(score, float) else answer


def _print(measured: Sequence[Measured], lines: Sequence[Line]) -> None:
    titles = [escape(m.judge.title) for m in measured] if len(measured) > 1 else []
    table = Table(*(["", *titles] if titles else []), show_header=bool(titles))
    has_review = any(m.has_review for m in measured)
    columns = [_counts(m) | _metrics(m) for m in measured]
    for name in columns[0]:
        if has_review or name not in REVIEW_ROWS:
            shown = _shown(name, has_review=has_review)
            table.add_row(shown, *(column[name] for column in columns))
    for name, value in _times(lines):
        table.add_row(name, value)
    console.print(table)
    for other in measured[1:]:
        differences = _differences(measured[0], other, has_review=has_review)
        console.print(f"difference: {differences}", soft_wrap=True)
    for o in measured[0].missed[:LISTED]:
        contrast = "unknown" if math.isnan(o.contrast) else f"{o.contrast:.1f}"
        where = f"{o.raw.true_px} px  contrast {contrast}" if o.drawn else "not drawn"
        console.print(
            f"missed: {o.name}  {o.kind}  {where}  score {score_text(o.score)}",
            soft_wrap=True,
            markup=False,
        )
    _print_rest("missed", measured[0].missed)
    for o in measured[0].false_alarms[:LISTED]:
        said = f"false: {o.name}  score {score_text(o.score)}"
        console.print(said, soft_wrap=True, markup=False)
    _print_rest("false", measured[0].false_alarms)


def _print_rest(what: str, outcomes: Sequence[Outcome]) -> None:
    if len(outcomes) > LISTED:
        console.print(f"{what}: {len(outcomes) - LISTED} more")


def _counts(measured: Measured) -> dict[str, str]:
    outcomes, visible = measured.outcomes, measured.clearly_visible
    n_defective = sum(o.defective for o in outcomes)
    n_good = len(outcomes) - n_defective
    objects, reviewed = measured.parts.by_group, measured.answered(Answer.REVIEW)
    return {
        "samples": f"{len(outcomes)}, {n_defective} defective",
        "OK": str(len(measured.answered(Answer.OK))),
        "REVIEW": str(len(reviewed)),
        "NG": str(len(measured.answered(Answer.NG))),
        "missed": f"{len(measured.missed)} of {n_defective}",
        "missed, clearly visible": f"{sum(not o.opened for o in visible)} of {len(visible)}",
        "missed objects": f"{objects.n - objects.caught} of {objects.n}",
        "false": f"{len(measured.false_alarms)} of {n_good}",
        "good, but for a person": f"{sum(not o.defective for o in reviewed)} of {n_good}",
    }


def _metrics(measured: Measured) -> dict[str, str]:
    limits = measured.judge.inspector.limits
    return {
        "threshold": score_text(limits.threshold),
        "REVIEW below": score_text(limits.review_below) if measured.has_review else "-",
        "recall": _number(measured, "recall"),
        "false rejects": _number(measured, "false_reject_rate"),
        "image AP": _number(measured, "image_ap"),
        "image AUROC": _number(measured, "image_auroc"),
        "Seg_mIoU raw": _number(measured, "seg_miou"),
        "Seg_mIoU gated": _number(measured, "gated_seg_miou"),
        "Seg_Recall raw": _number(measured, "seg_recall"),
        "Seg_Recall gated": _number(measured, "gated_seg_recall"),
        "pooled mIoU": _number(measured, "pooled_miou"),
        "recall at 5 % false": _number(measured, "recall_at_5")
        if measured.metrics["n_good"]
        else "-",
    }


def _shown(row: str, *, has_review: bool) -> str:
    """A row's name: what the gate rejects is for a person in part, where there is a review."""
    return f"{row} + REVIEW" if has_review and row == "false rejects" else row


def _differences(one: Measured, other: Measured, *, has_review: bool) -> str:
    """What the first has more than the other, with an interval where there is one."""
    intervals = difference_intervals(one.outcomes, other.outcomes)
    parts = []
    for name, title in DIFFERENCES.items():
        ours, theirs, interval = one.metrics[name], other.metrics[name], intervals.get(name)
        if ours is not None and theirs is not None:
            between = f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
            shown = _shown(title, has_review=has_review)
            parts.append(f"{shown} {ours - theirs:+.3f}{between}")
    return ", ".join(parts)


def _times(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """The runtime's median time a frame, by what the gate did."""
    times = []
    for was, answers in (("open", {"NG", "REVIEW"}), ("shut", {"OK"})):
        ms = [line.latency_ms.total for line in lines if line.verdict in answers]
        if ms:
            times.append((f"time a frame, gate {was}", f"{median(ms):.2f} ms"))
    return times


def _number(measured: Measured, name: str) -> str:
    """Three digits, and where it may lie with 95 % confidence."""
    value, interval = measured.metrics[name], measured.intervals.get(name)
    if value is None:
        return "-"
    return f"{value:.3f}" + (f"  ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
