"""The report that a bundle carries: INT8 beside float on validation, and what that cost."""

from dataclasses import replace
from pathlib import Path

from export.judging import Source
from export.parity import Parity
from train.judge import float_judge_of, judge_of
from train.report.gallery import Gallery
from train.report.report import write_report
from train.scorecard import measure_all


def write_validation_report(root: Path, source: Source, parity: Parity, name: str) -> Path:
    """Write `report.html` into the sealed INT8 bundle `root`, which will be called `name`."""
    judge, exact = judge_of(root), float_judge_of(root)
    named = [replace(judge, path=Path(name), sha256=source.record.weights_sha256)]
    named += [replace(exact, path=Path(name))] if exact else []
    gallery = Gallery({name for cost in parity.renderings.values() for name in cost.flipped})
    measured = measure_all(named, source.dataset, "val", gallery)
    return write_report(root, source.dataset, "val", measured, gallery, parity)
