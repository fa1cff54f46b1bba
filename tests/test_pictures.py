"""The report's pictures: which samples are shown, what part of them, and where the outlines lie."""

import base64
import math
import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.spec import Limits
from train.breakdown import Part
from train.metrics import Outcome, Overlap
from train.report.charts import count_ticks, precision_recall, recall_of_parts, score_histogram
from train.report.gallery import SHOWN, Gallery, Seen, Worst
from train.report.pictures import SIDE_PX, outline, picture, window
from train.report.scores import bin_edges, scale_of, score_text


def result(name, *, defective=True, score=0.9, contrast=2.0, area=10):
    counts = Overlap(area, 0, 0)
    return Outcome(
        name=name,
        kind="pit",
        group=name,
        defective=defective,
        drawn=True,
        score=score,
        opened=score > 0.5,
        raw=counts,
        gated=counts,
        classes=(counts,),
        contrast=contrast,
    )


class Unseen(Seen):
    """A sample that needs no picture."""

    def picture(self):
        """No picture."""


def spot(shape, y, x, side):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def decoded(uri):
    kind, content = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED)


def points(path):
    return np.array(re.findall(r"(\d+) (\d+)", path), int)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_the_worst_are_the_first_of_all_in_order(ranks):
    made = []
    worst = Worst(lambda o: o.score)
    for number, rank in enumerate(ranks):
        worst.offer(result(f"{number:02}", score=rank), None, lambda: made.append(1))
    expected = sorted((rank, f"{number:02}") for number, rank in enumerate(ranks))[:SHOWN]
    assert [(e.outcome.score, e.outcome.name) for e in worst.exhibits] == expected
    assert len(made) <= len(ranks)


def test_a_sample_that_is_not_shown_costs_no_picture():
    worst = Worst(lambda o: -o.score)
    for number in range(SHOWN):
        worst.offer(result(str(number), score=0.9), None, lambda: None)
    worst.offer(result("x", score=0.1), None, lambda: pytest.fail("no picture is needed"))


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.integers(1, 200),
)
def test_the_part_that_is_shown_lies_in_the_image_and_holds_the_defect(shape, place, side):
    height, width = shape
    y, x = (int(share * (length - 1)) for share, length in zip(place, shape, strict=True))
    left, top, wide, high = window(spot(shape, y, x, side))
    assert left >= 0 <= top
    assert left + wide <= width
    assert top + high <= height
    assert left <= x < left + wide
    assert top <= y < top + high
    assert left + wide >= min(x + side, width)
    assert top + high >= min(y + side, height)


def test_a_large_image_is_shown_about_its_defect_and_a_small_one_whole():
    mask = spot((1000, 1600), 700, 1500, 10)
    shown = picture(np.full((1000, 1600), 90, np.uint8), mask, np.zeros_like(mask))
    assert (shown.width, shown.height, shown.is_section) == (SIDE_PX, SIDE_PX, True)
    assert shown.found == ""
    small = picture(np.full((60, 90, 3), 90, np.uint8), mask[:60, :90], spot((60, 90), 5, 5, 9))
    assert (small.width, small.height, small.is_section) == (SIDE_PX, 200, False)
    assert decoded(small.uri).shape == (60, 90, 3)  # the browser enlarges it
    assert small.truth == ""


def test_a_picture_is_never_larger_than_it_is_shown():
    empty = np.zeros((2000, 500), bool)
    shown = picture(np.zeros((2000, 500), np.uint8), empty, empty)
    assert (shown.width, shown.height) == (75, SIDE_PX)
    assert decoded(shown.uri).shape == (SIDE_PX, 75)


@pytest.mark.parametrize("factor", [0.25, 1, 3])
def test_an_outline_goes_around_its_defect_close_by(factor):
    mask = spot((120, 160), 40, 60, 12)
    around = points(outline(mask, (round(160 * factor), round(120 * factor))))
    low, high = around.min(axis=0), around.max(axis=0)
    assert np.abs(low - factor * np.array([60, 40])).max() <= 4
    assert np.abs(high - factor * np.array([72, 52])).max() <= 4


def test_the_thinnest_defect_keeps_an_outline_when_its_picture_shrinks():
    assert outline(spot((900, 900), 333, 421, 1), (300, 300)).count("M") == 1


@given(st.lists(st.floats(0, 1.1), min_size=1, max_size=2))
def test_the_limits_lie_between_two_bins(limits):
    edges = bin_edges(limits)
    assert edges == sorted(set(edges))
    assert (edges[0], edges[-1]) == (0, 1)
    assert {min(limit, 1) for limit in limits} <= set(edges)


@pytest.mark.parametrize(("threshold", "text"), [(5e-6, "5e-06"), (1 - 2e-5, "1 - 2e-05")])
def test_a_threshold_close_to_an_end_has_bins_on_both_sides(threshold, text):
    edges, scale = bin_edges([threshold]), scale_of([threshold])
    assert min(edges.index(threshold), len(edges) - 1 - edges.index(threshold)) >= 5
    widths = np.diff([scale.place(edge) for edge in edges])
    assert widths.max() < 2 * widths.min()
    assert score_text(threshold) == text


def test_a_review_is_a_second_line_and_no_red():
    seen = [result("a", defective=False, score=0.6), result("b", score=0.6)]
    alone, review = (score_histogram(seen, Limits(0.5, review_below=r)) for r in (0.0, 0.7))
    assert [chart.count("stroke-dasharray") for chart in (alone, review)] == [0, 2]
    assert ["var(--wrong)" in chart for chart in (alone, review)] == [True, False]


def test_the_name_of_a_class_may_be_long_and_in_any_script():
    names = ("划痕", "k" * 120)
    parts = [Part(name, 2, 1, 0.5, (0.1, 0.9), 2, 1.0, 0.5) for name in names]
    chart = recall_of_parts("class", {"one": parts})
    assert "划痕" in chart
    assert f">{'k' * 39}…<" in chart


@given(st.integers(0, 300_000))
def test_counts_are_marked_from_nothing_to_the_largest(top):
    ticks = count_ticks(top)
    assert ticks == sorted(set(ticks))
    assert (ticks[0], ticks[-1]) == (0, max(1, top))


@pytest.mark.parametrize("outcomes", [[], [result("a")], [result("a", defective=False)]])
def test_charts_of_one_label_or_none_are_drawn(outcomes):
    for chart in (score_histogram(outcomes, Limits()), precision_recall({"one": outcomes})):
        assert chart.startswith("<svg")


def test_a_title_is_text_in_a_chart_whatever_it_holds():
    chart = precision_recall({"<script>$x_1$&": [result("a"), result("b", defective=False)]})
    assert "&lt;script&gt;$x_1$&amp;" in chart
    assert "<script" not in chart


def test_misses_without_a_drawing_come_last():
    gallery = Gallery()
    for name, contrast in (("unknown", math.nan), ("faint", 0.5), ("plain", 9.0)):
        gallery.add([Unseen(None, None, result(name, score=0.1, contrast=contrast))])
    assert [e.outcome.name for e in gallery.misses.exhibits] == ["plain", "faint", "unknown"]


def test_verdicts_that_differ_are_shown_the_smallest_defect_first_and_good_samples_last():
    gallery = Gallery({"flipped elsewhere"})
    for name, defective, area in (("good", False, 0), ("large", True, 900), ("small", True, 9)):
        pair = [result(name, defective=defective, area=area, score=score) for score in (0.1, 0.9)]
        gallery.add([Unseen(None, None, outcome) for outcome in pair])
    for name in ("same", "flipped elsewhere"):
        gallery.add([Unseen(None, None, result(name, area=10))] * 2)
    names = [e.outcome.name for e in gallery.differing.exhibits]
    assert names == ["small", "flipped elsewhere", "large", "good"]
    assert gallery.n_differing == 4
    assert all(e.other.opened for e in gallery.differing.exhibits)
