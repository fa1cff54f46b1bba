"""The gate's threshold and the mask's limits against every other choice."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.images import write_png
from runtime.inspection import Inspector, open_tiles
from runtime.spec import InputSpec, Limits
from train.dataset import largest_defect_px
from train.drawing import MaskFile
from train.evaluation import choose_mask_limits, found_mask, predictions
from train.operating_point import best_recall_threshold, mask_limit_candidates
from train.sample import Sample

coarse = st.integers(0, 8).map(lambda eighths: eighths / 8)
scores = coarse | st.floats(0, 1, width=32)
goods = st.lists(scores, min_size=1, max_size=30)
defectives = st.lists(scores, min_size=1, max_size=12)
budgets = st.sampled_from([0.0, 0.05, 0.1, 0.3])


def chosen(good, defective, budget=0.05):
    labels = [False] * len(good) + [True] * len(defective)
    return best_recall_threshold([*good, *defective], labels, budget)


def best_recall(good, defective, budget):
    """The most defects caught by any threshold within the budget, one after the other."""
    return max(
        sum(score >= threshold for score in defective)
        for threshold in (*defective, 2.0)
        if sum(score >= threshold for score in good) <= budget * len(good)
    )


@given(goods, defectives, budgets)
def test_no_threshold_within_the_budget_catches_more(good, defective, budget):
    threshold = chosen(good, defective, budget)
    assert sum(score >= threshold for score in good) <= budget * len(good)
    caught = sum(score >= threshold for score in defective)
    assert caught == best_recall(good, defective, budget)


@given(goods, defectives)
def test_the_order_of_the_samples_does_not_matter(good, defective):
    assert chosen(good[::-1], defective[::-1]) == chosen(good, defective)


@given(goods, defectives, budgets)
def test_no_good_sample_is_rejected_that_scores_below_every_defect_caught(good, defective, budget):
    threshold = chosen(good, defective, budget)
    caught = [score for score in defective if score >= threshold]
    assume(caught)
    assert not [score for score in good if threshold <= score < min(caught)]


def test_the_threshold_lies_nearer_to_the_good_since_a_miss_costs_more():
    assert chosen([0.1, 0.2], [0.8, 0.9], 0) == pytest.approx(1 / 3)
    odds = (0.01 / 0.99) ** 0.75
    assert chosen([0.01], [0.5], 0) == pytest.approx(odds / (1 + odds))


@pytest.mark.parametrize(("good", "defective"), [(0.0, 1.0), (0.0, 1e-9), (1 - 1e-9, 1.0)])
def test_scores_at_the_ends_of_the_range_are_told_apart(good, defective):
    assert good < chosen([good], [defective]) <= defective


def test_a_good_sample_that_scores_as_a_defective_one_is_within_the_budget_or_not():
    good, defective = [0.5] + [0.1] * 19, [0.5, 0.05]
    assert 0.1 < chosen(good, defective, 0.05) <= 0.5
    assert chosen(good, defective, 0.0) > 0.5


@given(scores, st.integers(1, 30), st.integers(1, 9))
def test_equal_scores_leave_the_gate_shut(score, n_good, n_defective):
    assert chosen([score] * n_good, [score] * n_defective) > score


def test_no_tile_opens_below_the_threshold_however_near():
    score = np.float32(0.3)
    shut = chosen([float(score)], [float(score)])
    assert open_tiles(np.array([[score]]), shut) == []
    assert open_tiles(np.array([[0.1, 0.2], [0.7, 0.1], [0.2, score]]), float(score)) == [1, 2]


@pytest.mark.parametrize("smallest", [0, 1, 37.5])
def test_no_minimum_area_exceeds_half_of_the_smallest_defect(smallest):
    candidates = mask_limit_candidates(smallest)
    assert max(area for _, area in candidates) == smallest / 2
    assert all(0 < threshold < 1 and area >= 0 for threshold, area in candidates)


def test_a_sample_of_many_pits_is_measured_by_the_largest(tmp_path):
    pits = np.zeros((64, 64), np.uint8)
    for side, place in ((2, 4), (5, 20), (3, 40)):
        pits[place : place + side, place : place + side] = 255
    write_png(tmp_path / "m.png", pits)
    drawing = MaskFile(tmp_path / "m.png", 1)
    sample = Sample("a", tmp_path / "m.png", drawing, True, "pit", "val", "a")  # noqa: FBT003
    assert largest_defect_px(sample) == 25


class Speckled:
    """An engine that draws the defect, and a speck beside it."""

    name = "speckled"
    tiles = 16

    def __init__(self, drawn):
        self.drawn = drawn.copy()
        self.drawn[60, 60] = 255

    def gate(self, images):
        """Sure of every image."""
        return np.ones((len(images), 1), np.float32), None

    def mask(self, _skips, _tile):
        """The same for each."""
        return self.drawn[None]


def test_of_limits_that_are_as_good_those_without_specks_are_chosen(tmp_path):
    defect = np.zeros((64, 64), np.uint8)
    defect[10:40, 10:50] = 255
    write_png(tmp_path / "m.png", defect // 255)
    drawing = MaskFile(tmp_path / "m.png", None)
    sample = Sample("a", tmp_path / "m.png", drawing, True, "pit", "val", "a")  # noqa: FBT003
    spec = InputSpec(64, 64, 1)
    inspector = Inspector(Speckled(defect), spec, Limits(), ("defect",))
    limits = choose_mask_limits(inspector, [sample], spec, 0.5)
    assert limits == Limits(0.5, 0.5, 30 * 40 / 2)
    (prediction,) = predictions(inspector, [sample], spec)
    assert found_mask(prediction, limits, [0]).sum() == 30 * 40
