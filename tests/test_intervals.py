"""Intervals: the exact ones by their definition, the bootstrapped ones by what they cover."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import average_precision_score, roc_auc_score

from train.intervals import (
    bootstrap_intervals,
    difference_intervals,
    share_interval,
    share_intervals,
    weighted_ap,
    weighted_auroc,
)
from train.metrics import Outcome, Overlap


def result(group, *, defective, score, raw=(0, 0, 0), opened=True, drawn=True):
    counts = Overlap(*raw)
    kind = "pit" if defective else "good"
    return Outcome(
        "a", kind, group, defective, drawn, score, opened, counts, counts, (counts,), math.nan
    )


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_outside_the_interval_what_was_seen_has_a_chance_of_a_fortieth(case):
    hits, n = case
    low, high = share_interval(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    if hits:
        assert binom.sf(hits - 1, n, low) == pytest.approx(0.025, rel=1e-6)
    if hits < n:
        assert binom.cdf(hits, n, high) == pytest.approx(0.025, rel=1e-6)


def test_nothing_is_known_of_no_samples():
    assert share_interval(0, 0) is None
    assert set(share_intervals([]).values()) == {None}
    assert set(bootstrap_intervals([]).values()) == {None}


def test_each_share_has_the_interval_of_its_counts():
    outcomes = [
        result("a", defective=True, score=0.9, raw=(5, 5, 5)),
        result("b", defective=True, score=0.1, raw=(5, 0, 0), opened=False),
        result("c", defective=True, score=0.9, drawn=False),
        result("d", defective=False, score=0.1, opened=False),
    ]
    found = share_intervals(outcomes)
    assert found["recall"] == share_interval(2, 3)
    assert found["false_reject_rate"] == share_interval(0, 1)
    assert found["seg_recall"] == share_interval(1, 2)


levels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8)


@given(levels)
def test_weighted_ap_and_auroc_are_those_of_repeated_samples(counts):
    good, defective = (np.array(column, np.float64) for column in zip(*counts, strict=True))
    scores = [-level for level, pair in enumerate(counts) for _ in range(sum(pair))]
    labels = [label for g, d in counts for label in [0] * g + [1] * d]
    if len(set(labels)) == 2:
        assert weighted_ap(good, defective) == pytest.approx(
            average_precision_score(labels, scores)
        )
        assert weighted_auroc(good, defective) == pytest.approx(roc_auc_score(labels, scores))


def test_the_bootstrap_draws_whole_groups():
    """Two objects, of ten equal images each: the mean of a draw is one of three numbers."""
    outcomes = [
        result(group, defective=True, score=0.5, raw=(10, 10, both))
        for group, both in (("a", 10), ("b", 0))
        for _ in range(10)
    ]
    assert bootstrap_intervals(outcomes)["seg_miou"] == (0.0, 1.0)
    assert bootstrap_intervals(outcomes[:10])["seg_miou"] is None


def test_the_bootstrap_says_nothing_of_what_every_draw_agrees_on():
    outcomes = [result(str(n), defective=n > 4, score=n / 10) for n in range(10)]
    assert bootstrap_intervals(outcomes)["image_auroc"] is None


def test_the_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        ious = rng.beta(2, 2, 40)
        outcomes = [
            result(
                str(n), defective=True, score=0.5, raw=(1000, round(1000 * iou), round(1000 * iou))
            )
            for n, iou in enumerate(ious)
        ]
        low, high = bootstrap_intervals(outcomes)["seg_miou"]
        hits += low <= 0.5 <= high
    assert 50 <= hits <= 60


def test_the_same_outcomes_have_the_same_intervals():
    rng = np.random.default_rng(1)
    outcomes = [
        result(str(n // 2), defective=bool(n % 3), score=float(rng.random()), raw=(9, 9, n % 9))
        for n in range(30)
    ]
    assert bootstrap_intervals(outcomes) == bootstrap_intervals(outcomes)
    low, high = bootstrap_intervals(outcomes)["image_auroc"]
    labels, scores = [o.defective for o in outcomes], [o.score for o in outcomes]
    assert low < roc_auc_score(labels, scores) < high


def test_a_difference_is_seen_where_the_intervals_of_both_overlap():
    """Objects differ by more than the models do, but one model is better on nearly all of them."""
    rng = np.random.default_rng(2)
    ious = rng.integers(20, 80, 40)
    first, second = (
        [
            result(str(n), defective=True, score=0.5, raw=(100, 100, both))
            for n, both in enumerate(ious - worse)
        ]
        for worse in (np.zeros(40, int), rng.integers(0, 10, 40))
    )
    low, high = difference_intervals(first, second)["seg_miou"]
    found = np.mean([a.raw.iou - b.raw.iou for a, b in zip(first, second, strict=True)])
    assert 0 < low < found < high
    assert bootstrap_intervals(first)["seg_miou"][0] < bootstrap_intervals(second)["seg_miou"][1]
    assert difference_intervals(second, first)["seg_miou"] == pytest.approx((-high, -low))
    assert set(difference_intervals(first, first).values()) == {None}
