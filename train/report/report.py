"""Writes `report.html`: one file with all that it shows, which loads nothing and runs nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runtime.images import readable
from runtime.inspection import answer_to
from runtime.record import write_atomically
from runtime.verdict import Answer
from train.breakdown import Part
from train.dataset import ALL, Dataset
from train.intervals import Interval, difference_intervals
from train.measured import Measured
from train.report.charts import precision_recall, recall_of_parts, score_histogram
from train.report.gallery import Gallery
from train.report.scores import score_text

REPORT = "report.html"
TEMPLATE = "report.html.j2"
# Name in result files, what it is called, and what it says.
ROWS = (
    ("recall", "Recall", "defective samples that were caught"),
    ("false_reject_rate", "False rejects", "good samples that were rejected"),
    ("image_ap", "Image AP", "how well the scores rank, whatever the threshold"),
    ("image_auroc", "Image AUROC", "a defective sample scores higher than a good one"),
    ("gated_seg_recall", "Seg_Recall, gated", "defective samples in which something was drawn"),
    ("seg_recall", "Seg_Recall, raw", "the same, were the gate always open"),
    (
        "gated_seg_miou",
        "Seg_mIoU, gated",
        "how well the drawing covers the defect, each sample alike",
    ),
    ("seg_miou", "Seg_mIoU, raw", "the same, were the gate always open"),
    ("pooled_miou", "mIoU, pooled", "the usual one, which large defects rule"),
    ("class_miou", "mIoU of the classes", "pooled, and averaged over the classes of the mask"),
    ("recall_at_5", "Recall at 5 %", "were at most 5 % of these good samples rejected"),
    ("seg_recall_at_5", "Seg_Recall at 5 %", "at that point"),
    (
        "seg_recall_small_at_5",
        "Seg_Recall at 5 %, small",
        "of the quarter with the smallest defects",
    ),
    ("gated_seg_miou_at_5", "Seg_mIoU at 5 %", "at that point"),
)


@dataclass(frozen=True)
class Division:
    """The parts of the defective samples in one way: a chart and a row for each of them."""

    title: str
    note: str
    chart: Markup
    rows: list[tuple[str, list[Part | None]]]


def write_report(
    folder: Path,
    dataset: Dataset,
    split: str,
    measured: Sequence[Measured],
    gallery: Gallery,
    parity: Any = None,
) -> Path:
    """Write `report.html` into `folder` and give its path; `measured` is one model, or two.

    With `parity` (`export.parity.Parity`), what INT8 cost. The same input gives the same bytes.
    """
    page = render(dataset, split, measured, gallery, parity)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / REPORT, page.encode())
    return folder / REPORT


def render(
    dataset: Dataset,
    split: str,
    measured: Sequence[Measured],
    gallery: Gallery,
    parity: Any = None,
) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        percent=_percent,
        between=_between,
        score=score_text,
        called=_called,
        readable=lambda path: readable(str(path)),
    )
    first = measured[0]
    curves = {m.judge.title: m.outcomes for m in measured}
    return environment.get_template(TEMPLATE).render(
        dataset=dataset,
        split=split,
        models=measured,
        first=first,
        rows=[row for row in ROWS if _says_something(row[0], first)],
        histogram=score_histogram(first.outcomes, first.judge.inspector.limits),
        curve=precision_recall(curves),
        divisions=_divisions(measured),
        gallery=gallery,
        n_differing=_n_differing(measured),
        differences=difference_intervals(*(m.outcomes for m in measured)) if measured[1:] else {},
        parity=parity,
        answer_to=answer_to,
        reviewed=first.answered(Answer.REVIEW),
        taught=split == ALL and first.judge.data_digest == dataset.digest,
    )


def _says_something(name: str, measured: Measured) -> bool:
    """Whether a metric is known and no other one's twin, on samples such as these."""
    if name == "class_miou":
        return len(measured.judge.inspector.class_names) > 1
    if name.endswith("_at_5"):
        return measured.metrics["false_reject_rate"] is not None
    return measured.metrics[name] is not None


def _divisions(measured: Sequence[Measured]) -> list[Division]:
    ways = (
        ("size", "Size", "Quarters of the defective samples, by the area of the defect."),
        ("contrast", "Contrast", "Difference from the surface around, in deviations of its noise."),
        ("class", "Kind", "As the dataset names them."),
    )
    return [_division(way, title, note, measured) for way, title, note in ways]


def _division(way: str, title: str, note: str, measured: Sequence[Measured]) -> Division:
    models = {m.judge.title: getattr(m.parts, f"by_{way}") for m in measured}
    names = list(dict.fromkeys(part.name for parts in models.values() for part in parts))
    by_name = [{part.name: part for part in parts} for parts in models.values()]
    rows = [(name, [parts.get(name) for parts in by_name]) for name in names]
    return Division(title, note, recall_of_parts(way, models), rows)


def _n_differing(measured: Sequence[Measured]) -> int:
    first, *others = measured
    return sum(
        a.opened != b.opened
        for other in others
        for a, b in zip(first.outcomes, other.outcomes, strict=True)
    )


def _number(value: Any) -> str:
    """Three digits, or a dash for what is undefined."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _called(path: Path) -> str:
    """The name of a folder or file, also where it is given as the one that one is in."""
    return readable(path.resolve().name)


def _percent(value: Any) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _between(interval: Interval | None, sign: str = "") -> str:
    """The interval in three digits, with a `sign` of "+" in any case; empty where there is none."""
    return f"{interval[0]:{sign}.3f} to {interval[1]:{sign}.3f}" if interval else ""
