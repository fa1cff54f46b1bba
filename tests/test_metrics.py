"""Metrics against the formulas of the paper, computed from the masks by scikit-learn."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import jaccard_score, recall_score

from train.metrics import (
    Outcome,
    Overlap,
    class_miou,
    false_reject_rate,
    image_ap,
    image_auroc,
    overlap,
    pooled_miou,
    seg_miou,
    seg_recall,
    summary,
)

NAMES_IN_RESULT_FILES = {
    "n",
    "n_defective",
    "n_drawn",
    "seg_miou",
    "seg_recall",
    "gated_seg_miou",
    "gated_seg_recall",
    "pooled_miou",
    "class_miou",
    "recall_at_5",
    "seg_recall_at_5",
    "gated_seg_miou_at_5",
    "seg_recall_small_at_5",
    "image_ap",
    "image_auroc",
    "false_reject_rate",
    "threshold",
}
SHAPE = (3, 4)


@st.composite
def stacks(draw, samples):
    """Masks (samples, 3, 4), about half of them empty."""
    pixels = draw(hnp.arrays(np.bool_, (samples, *SHAPE)))
    empty = draw(hnp.arrays(np.bool_, samples))
    return pixels & ~empty[:, None, None]


@st.composite
def masks_of_samples(draw):
    """True and predicted masks of the same samples."""
    samples = draw(st.integers(1, 6))
    return draw(stacks(samples)), draw(stacks(samples))


def overlaps_of(truth, predicted):
    pairs = zip(truth, predicted, strict=True)
    return [overlap(np.where(g, 255, 0).astype(np.uint8), p) for g, p in pairs]


def result(label, score, *, opened=True, drawn=True, raw=(0, 0, 0), gated=None, classes=()):
    counts = Overlap(*raw)
    return Outcome(
        name="a",
        kind="pit" if label else "good",
        group="a",
        defective=bool(label),
        drawn=drawn,
        score=score,
        opened=opened,
        raw=counts,
        gated=counts if gated is None else Overlap(*gated),
        classes=tuple(Overlap(*counts) for counts in classes),
        contrast=math.nan,
    )


def scored(labels, scores):
    return [result(label, score) for label, score in zip(labels, scores, strict=True)]


@given(masks_of_samples())
def test_overlap_counts_pixels(masks):
    for truth, predicted in zip(*masks, strict=True):
        (counts,) = overlaps_of([truth], [predicted])
        assert counts.true_px == truth.sum()
        assert counts.both_px == sum(
            g and p for g, p in zip(truth.flat, predicted.flat, strict=True)
        )
        assert counts.union_px == np.logical_or(truth, predicted).sum()


@given(masks_of_samples())
def test_seg_miou_is_the_mean_jaccard_index_of_samples_with_foreground(masks):
    seen = [(g.ravel(), p.ravel()) for g, p in zip(*masks, strict=True) if g.any() or p.any()]
    assume(seen)
    expected = np.mean([jaccard_score(g, p) for g, p in seen])
    assert seg_miou(overlaps_of(*masks)) == pytest.approx(expected)


@given(masks_of_samples())
def test_seg_recall_is_the_recall_of_defects_drawn(masks):
    truth, predicted = masks
    defective, drawn = truth.any(axis=(1, 2)), predicted.any(axis=(1, 2))
    hit = (truth & predicted).any(axis=(1, 2))
    assume(defective.any())
    overlaps = overlaps_of(truth, predicted)
    assert seg_recall(overlaps) == pytest.approx(recall_score(defective, drawn))
    assert seg_recall(overlaps, hit_overlaps=True) == pytest.approx(recall_score(defective, hit))


@given(masks_of_samples())
def test_pooled_miou_is_the_jaccard_index_of_all_pixels_together(masks):
    truth, predicted = masks
    assume((truth | predicted).any())
    expected = jaccard_score(truth.ravel(), predicted.ravel())
    assert pooled_miou(overlaps_of(truth, predicted)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_false_rejects_are_the_good_samples_that_the_gate_opens_for(cases):
    assume(not all(defective for defective, _ in cases))
    outcomes = [result(defective, 0.5, opened=opened) for defective, opened in cases]
    accepted = recall_score(
        [not defective for defective, _ in cases], [not opened for _, opened in cases]
    )
    assert false_reject_rate(outcomes) == pytest.approx(1 - accepted)


def test_a_miss_and_a_false_alarm_count_zero_and_a_true_negative_not_at_all():
    perfect, miss, false_alarm = Overlap(9, 9, 9), Overlap(4, 0, 0), Overlap(0, 5, 0)
    true_negative = Overlap(0, 0, 0)
    assert seg_miou([perfect, miss, false_alarm, true_negative]) == pytest.approx(1 / 3)
    assert seg_recall([perfect, miss, false_alarm, true_negative]) == pytest.approx(1 / 2)
    assert seg_miou([miss]) == 0
    assert seg_miou([false_alarm]) == 0


def test_a_large_defect_rules_the_pooled_miou_only():
    large, missed_small = Overlap(10_000, 10_000, 10_000), Overlap(10, 0, 0)
    assert seg_miou([large, missed_small]) == pytest.approx(0.5)
    assert pooled_miou([large, missed_small]) == pytest.approx(10_000 / 10_010)


def test_a_hit_that_must_overlap_is_no_hit_beside_the_defect():
    beside, touching = Overlap(10, 10, 0), Overlap(10, 10, 1)
    assert seg_recall([beside, touching]) == 1
    assert seg_recall([beside, touching], hit_overlaps=True) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "scores", "ap", "auroc"),
    [
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], (1 + 2 / 3) / 2, 3 / 4),
        ([1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6], 1, 1),
        ([0, 0, 1], [0.9, 0.8, 0.7], 1 / 3, 0),
        ([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], 1 / 4, 1 / 2),
        ([1, 0, 1], [0.9, 0.5, 0.5], (1 + 2 / 3) / 2, 3 / 4),
    ],
    ids=["mixed", "perfect", "worst", "all equal", "one tie"],
)
def test_ap_and_auroc_of_examples_done_by_hand(labels, scores, ap, auroc):
    assert image_ap(scored(labels, scores)) == pytest.approx(ap)
    assert image_auroc(scored(labels, scores)) == pytest.approx(auroc)


@pytest.mark.parametrize("label", [0, 1])
def test_ap_and_auroc_of_one_label_are_undefined(label):
    assert math.isnan(image_ap(scored([label] * 2, [0.1, 0.9])))
    assert math.isnan(image_auroc(scored([label] * 2, [0.1, 0.9])))


def test_a_summary_tells_raw_from_gated():
    shut = result(1, 0.2, opened=False, raw=(8, 8, 4), gated=(8, 0, 0))
    drawn = result(1, 0.9, raw=(6, 6, 6))
    false_alarm = result(0, 0.6, raw=(0, 3, 0))
    quiet = result(0, 0.1, opened=False)
    metrics = summary([shut, drawn, false_alarm, quiet], 0.5)
    assert metrics["n"] == 4
    assert metrics["n_defective"] == 2
    assert metrics["threshold"] == 0.5
    assert metrics["seg_miou"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert metrics["gated_seg_miou"] == pytest.approx((0 + 1 + 0) / 3)
    assert metrics["seg_recall"] == 1
    assert metrics["gated_seg_recall"] == pytest.approx(1 / 2)
    assert metrics["recall"] == pytest.approx(1 / 2)
    assert metrics["false_reject_rate"] == pytest.approx(1 / 2)
    assert metrics["pooled_miou"] == pytest.approx(10 / 21)
    assert metrics["image_ap"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["image_auroc"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("outcomes", [[], [result(0, 0.1, opened=False)] * 2])
def test_what_is_undefined_is_none_in_a_summary(outcomes):
    metrics = summary(outcomes, 0.5)
    defined = {"n", "n_defective", "n_good", "n_drawn", "threshold"} | (
        {"false_reject_rate"} if outcomes else set()
    )
    assert {name for name, value in metrics.items() if value is not None} == defined
    assert metrics["n"] == len(outcomes)


def test_where_no_defect_is_drawn_masks_are_not_judged():
    false_alarm = result(0, 0.9, raw=(0, 5, 0))
    metrics = summary([false_alarm, result(1, 0.9, drawn=False)], 0.5)
    assert [name for name, value in metrics.items() if "miou" in name and value is not None] == []
    assert metrics["recall"] == 1


def test_a_summary_has_the_names_of_result_files_and_is_json():
    metrics = summary(scored([0, 1], [0.1, 0.9]), 0.5)
    assert metrics.keys() >= NAMES_IN_RESULT_FILES
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_a_sample_that_is_not_drawn_counts_for_the_gate_alone():
    drawn, known = result(1, 0.9, raw=(8, 8, 4)), result(1, 0.1, opened=False, drawn=False)
    metrics = summary([drawn, known], 0.5)
    assert metrics["recall"] == pytest.approx(1 / 2)
    assert (metrics["seg_miou"], metrics["seg_recall"]) == pytest.approx((1 / 3, 1))


def test_the_miou_of_classes_is_pooled_in_each_and_then_averaged():
    first = result(1, 0.9, classes=[(10, 10, 5), (0, 0, 0)])
    second = result(1, 0.9, classes=[(90, 90, 85), (4, 4, 4)])
    assert class_miou([first, second]) == pytest.approx((90 / 110 + 4 / 4) / 2)
    assert class_miou([first]) == pytest.approx(5 / 15)


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), min_size=1, max_size=60),
    st.lists(st.sampled_from([0.1, 0.3, 0.45, 0.6]), min_size=1, max_size=20),
)
def test_the_point_at_5_percent_is_the_best_that_rejects_no_more(good, defective):
    outcomes = scored([0] * len(good) + [1] * len(defective), good + defective)
    allowed = [
        threshold
        for threshold in (*np.nextafter([0, *good, *defective], 1),)
        if np.mean(np.asarray(good) >= threshold) <= 0.05
    ]
    best = max(np.mean(np.asarray(defective) >= threshold) for threshold in allowed)
    assert summary(outcomes, 0.5)["recall_at_5"] == pytest.approx(best)


def test_at_5_percent_masks_of_samples_below_the_point_do_not_count():
    good = [result(0, n / 100, raw=(0, 3 * (n > 17), 0)) for n in range(20)]
    caught, missed = result(1, 0.9, raw=(9, 9, 9)), result(1, 0.05, raw=(4, 4, 4))
    metrics = summary([*good, caught, missed], 0.5)
    assert metrics["recall_at_5"] == metrics["seg_recall_at_5"] == pytest.approx(1 / 2)
    assert metrics["gated_seg_miou_at_5"] == pytest.approx((1 + 0 + 0) / 3)
    assert metrics["seg_recall_small_at_5"] == 0


def test_without_good_samples_everything_is_open_at_5_percent():
    metrics = summary([result(1, 0.0, raw=(4, 4, 4)), result(1, 0.9, raw=(9, 0, 0))], 0.5)
    assert metrics["recall_at_5"] == 1
    assert metrics["seg_recall_at_5"] == pytest.approx(1 / 2)
    assert metrics["seg_recall_small_at_5"] == 1
