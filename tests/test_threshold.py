"""The promised threshold: the bound, the choice, and that the promise is kept."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from calibration.threshold import (
    miss_rate_bound,
    promised_threshold,
    review_limit,
    units_needed,
    worst_by_group,
)
from runtime.errors import CalibrationError

confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])
rates = st.sampled_from([0.02, 0.05, 0.1, 0.25, 0.5])
coarse_scores = st.lists(st.integers(0, 9).map(lambda tenths: tenths / 10), max_size=150)


def exact_bound(n_missed, n, confidence):
    """The one-sided exact interval of scipy."""
    test = stats.binomtest(n_missed, n, alternative="less")
    return test.proportion_ci(confidence, method="exact").high


@given(st.integers(1, 500), st.data(), confidences)
def test_the_bound_is_the_exact_binomial_interval(n, data, confidence):
    n_missed = data.draw(st.integers(0, n))
    expected = exact_bound(n_missed, n, confidence)
    assert miss_rate_bound(n_missed, n, confidence) == pytest.approx(expected, abs=1e-9)


def test_without_units_nothing_is_known():
    assert miss_rate_bound(0, 0, 0.95) == 1


@pytest.mark.parametrize(
    ("rate", "confidence", "needed"),
    [(0.01, 0.95, 299), (0.05, 0.95, 59), (0.1, 0.9, 22), (0.001, 0.99, 4603)],
)
def test_units_needed_are_the_fewest_that_prove_the_rate(rate, confidence, needed):
    assert units_needed(rate, confidence) == needed
    assert miss_rate_bound(0, needed, confidence) <= rate
    assert miss_rate_bound(0, needed - 1, confidence) > rate


def test_a_promise_of_next_to_nothing_needs_next_to_infinitely_many():
    assert units_needed(1e-17, 0.95) == pytest.approx(3e17, rel=0.01)


@given(coarse_scores, rates, confidences)
def test_the_promised_threshold_is_the_largest_that_can_be_proven(scores, rate, confidence):
    proven = [
        threshold
        for threshold in scores
        if exact_bound(sum(s < threshold for s in scores), len(scores), confidence) <= rate
    ]
    promise = promised_threshold(scores, rate, confidence)
    if not proven:
        assert promise is None
        return
    threshold, guarantee = promise
    assert threshold == max(proven)
    assert guarantee.n_missed == sum(s < threshold for s in scores)
    assert guarantee.n_objects == len(scores)
    assert (guarantee.max_miss_rate, guarantee.confidence) == (rate, confidence)


def test_one_unit_too_few_promises_nothing():
    assert promised_threshold([0.9] * 298, 0.01, 0.95) is None
    threshold, guarantee = promised_threshold([0.9] * 299, 0.01, 0.95)
    assert (threshold, guarantee.n_missed) == (0.9, 0)


def test_a_unit_at_the_threshold_is_not_missed():
    scores = [0.1] * 3 + [0.5] * 297
    threshold, guarantee = promised_threshold(scores, 0.03, 0.95)
    assert (threshold, guarantee.n_missed) == (0.5, 3)
    assert promised_threshold(scores, 0.0105, 0.95)[0] == 0.1


@given(st.permutations([0.1, 0.2, 0.2, 0.4, *[0.8] * 60]))
def test_the_order_of_the_units_does_not_matter(scores):
    assert promised_threshold(scores, 0.1, 0.9) == promised_threshold(sorted(scores), 0.1, 0.9)


def test_the_promise_is_broken_no_more_often_than_it_says():
    """2000 sets each from known scores: certain ones, hard ones, ties, all the same."""
    script = Path(__file__).parent / "benchmarks" / "promise.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=600
    )
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert len(rows) == 16
    for row in rows:
        promised, broken = int(row[3]), int(row[4])
        assert promised == 2000, row
        assert broken <= 0.05 * 2000, row
    assert max(int(row[4]) for row in rows) > 0


good_scores = st.lists(st.integers(0, 20).map(lambda n: n / 20), max_size=60)


@given(good_scores, st.integers(0, 20).map(lambda n: n / 20), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_no_more_good_samples_are_reviewed_than_the_budget_lets(scores, threshold, rate):
    below = review_limit(scores, threshold, rate)
    reviewed = [score for score in scores if threshold <= score < below]
    opened = [score for score in scores if score >= threshold]
    assert len(reviewed) <= rate * len(scores)
    assert below == 0 or below >= threshold
    larger = [score for score in opened if score >= below]
    if rate and larger:  # one step more would be too much
        assert sum(score <= min(larger) for score in opened) > int(rate * len(scores))


def test_a_budget_for_all_leaves_no_good_sample_rejected():
    assert review_limit([0.2, 0.6, 0.7], 0.5, 1.0) == np.nextafter(0.7, 1)
    assert review_limit([], 0.5, 1.0) == 0
    assert review_limit([0.1], 0.5, 1.0) == 0


@pytest.mark.parametrize("wrong", [0, 1, -0.1, float("nan")])
def test_certainty_cannot_be_promised(wrong):
    with pytest.raises(CalibrationError, match=r"--max-miss-rate .*above 0 and below 1"):
        promised_threshold([0.9] * 9, wrong, 0.95)
    with pytest.raises(CalibrationError, match=r"--confidence .*above 0 and below 1"):
        promised_threshold([0.9] * 9, 0.01, wrong)


def test_a_group_scores_as_its_worst_image():
    assert worst_by_group([0.9, 0.2, 0.4, 0.7], ["a", "b", "a", "b"]) == [0.4, 0.2]
    assert worst_by_group([], []) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc"))))
def test_each_group_is_one_unit_with_its_lowest_score(images):
    scores, groups = [score for score, _ in images], [group for _, group in images]
    lowest = {group: min(s for s, g in images if g == group) for group in groups}
    assert sorted(worst_by_group(scores, groups)) == sorted(lowest.values())
