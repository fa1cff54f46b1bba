"""What INT8 may lose against float: as the limits say, and never less than a sample."""

import math
from dataclasses import replace

import pytest

from export.parity import AT_THRESHOLD, SCHEMA, Cost, Parity, broken_limits, flipped, require_parity
from runtime.errors import QualityError
from train.metrics import Outcome, Overlap

PERFECT = {
    "n_defective": 3,
    "n_good": 3,
    "n_drawn": 3,
    "recall_at_5": 1.0,
    "seg_recall": 1.0,
    "seg_miou": 0.8,
    "image_ap": 1.0,
    "false_reject_rate": 0.0,
}


@pytest.mark.parametrize("name", ["recall_at_5", "image_ap"])
@pytest.mark.parametrize("n", range(1, 120))
def test_recall_and_precision_may_fall_by_a_single_sample(n, name):
    exact = {**PERFECT, "n_defective": n}
    assert broken_limits(exact, {**exact, name: (n - 1) / n}) == []
    if n < 100:
        assert len(broken_limits(exact, {**exact, name: (n - 2) / n})) == 1


def test_a_sample_of_seg_recall_is_one_that_was_drawn():
    exact = {**PERFECT, "n_defective": 57, "n_drawn": 5}
    assert broken_limits(exact, {**exact, "seg_recall": 0.8}) == []
    assert len(broken_limits(exact, {**exact, "seg_recall": 0.6})) == 1
    assert len(broken_limits(exact, {**exact, "recall_at_5": 0.8})) == 1


def test_seg_miou_has_no_such_slack():
    assert len(broken_limits(PERFECT, {**PERFECT, "seg_miou": PERFECT["seg_miou"] - 0.02})) == 1


def test_the_recall_at_anothers_threshold_has_a_limit_of_its_own():
    exact = {**PERFECT, "recall": 1.0}
    int8 = {**exact, "recall": 1 / 3}
    assert broken_limits(exact, int8) == []
    (broken,) = broken_limits(exact, int8, AT_THRESHOLD)
    assert broken == "recall fell by 66.7 points, from 1.000 to 0.333, limit 33.3"


@pytest.mark.parametrize(
    ("n_good", "rejected", "kept"), [(50, 1, True), (50, 2, False), (300, 3, True)]
)
def test_false_rejects_at_anothers_threshold_may_rise_by_a_point_or_a_sample(
    n_good, rejected, kept
):
    exact = {**PERFECT, "recall": 1.0, "n_good": n_good}
    int8 = {**exact, "false_reject_rate": rejected / n_good}
    assert broken_limits(exact, int8) == []
    broken = broken_limits(exact, int8, AT_THRESHOLD)
    assert broken == (
        [] if kept else ["false_reject_rate rose by 4.0 points, from 0.000 to 0.040, limit 2.0"]
    )


def test_a_fall_beyond_the_limits_is_told_by_metric():
    exact = {**PERFECT, "n_defective": 1000, "n_drawn": 1000}
    int8 = {**exact, "seg_recall": 0.99, "seg_miou": 0.7911, "image_ap": 0.9969}
    recall, precision = broken_limits(exact, int8)
    assert recall == "seg_recall fell by 1.0 points, from 1.000 to 0.990, limit 0.5"
    assert precision == "image_ap fell by 0.3 points, from 1.000 to 0.997, limit 0.3"
    rendering = Cost(("a", "b"), {}, (recall, precision), {}, ())
    with pytest.raises(QualityError, match=r"^cpu: INT8 loses .* 2 layers in float: seg_r"):
        require_parity(Parity(SCHEMA, {"cpu": rendering}), "report.html")


def seen(name, true_px, opened):
    counts = Overlap(true_px, 0, 0)
    return Outcome(
        name=name,
        kind="pit",
        group=name,
        defective=true_px > 0,
        drawn=True,
        score=0.5,
        opened=opened,
        raw=counts,
        gated=counts,
        classes=(),
        contrast=math.nan,
    )


def test_other_verdicts_are_told_the_smallest_defect_first_and_good_samples_last():
    sizes = {"good": 0, "large": 900, "small": 4, "kept": 2, "middle": 30}
    exact = [seen(name, size, opened=True) for name, size in sizes.items()]
    int8 = [replace(outcome, opened=outcome.name == "kept") for outcome in exact]
    assert flipped(exact, int8) == ("small", "middle", "large", "good")


def test_int8_may_be_better():
    exact = {**PERFECT, "n_defective": 1000, "n_drawn": 1000, "seg_recall": 0.5, "image_ap": 0.5}
    assert broken_limits(exact, {**exact, "seg_recall": 1.0, "image_ap": 1.0}) == []
