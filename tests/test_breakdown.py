"""The defective samples in parts: every one is in one part of each way, and counted right."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.breakdown import breakdown
from train.intervals import share_interval
from train.metrics import Outcome, Overlap

KINDS = ("crack", "good", "pit")
DEFECT = ("defect",)


def result(kind, *, area=10, contrast=2.0, score=0.9, opened=True, group="a", drawn=True):
    counts = Overlap(area, area, area // 2)
    defective = kind != "good"
    return Outcome(
        "a", kind, group, defective, drawn, score, opened, counts, counts, (counts,), contrast
    )


results = st.builds(
    result,
    st.sampled_from(KINDS),
    area=st.integers(1, 50),
    contrast=st.floats(0, 6),
    opened=st.booleans(),
    group=st.sampled_from("abcd"),
)


@given(st.lists(results, max_size=30))
def test_every_defective_sample_is_in_one_part_of_each_way(outcomes):
    defective = [o for o in outcomes if o.defective]
    parts = breakdown(outcomes, DEFECT)
    for way in (parts.by_class, parts.by_size, parts.by_contrast):
        assert sum(part.n for part in way) == len(defective)
        assert sum(part.caught for part in way) == sum(o.opened for o in defective)
        for part in way:
            assert part.recall == part.caught / part.n
            assert part.interval == share_interval(part.caught, part.n)


def test_sizes_are_quarters_from_the_smallest_on():
    outcomes = [result("pit", area=area) for area in (40, 10, 30, 20)]
    names = [(part.name, part.n) for part in breakdown(outcomes, DEFECT).by_size]
    assert names == [("1 to 10 px", 1), ("11 to 20 px", 1), ("21 to 30 px", 1), ("31 to 40 px", 1)]


def test_contrasts_are_faint_visible_and_clearly_visible():
    outcomes = [result("pit", contrast=c) for c in (0.0, 1.49, 1.5, 2.99, 3.0, 9.0)]
    found = [(part.name, part.n) for part in breakdown(outcomes, DEFECT).by_contrast]
    assert found == [("below 1.5", 2), ("1.5 to 3", 2), ("3 and more", 2)]


def test_what_is_not_drawn_has_no_size_no_contrast_and_no_iou():
    unknown = replace(result("pit", contrast=math.nan, drawn=False), raw=Overlap(0, 0, 0))
    parts = breakdown([unknown], DEFECT)
    assert parts.by_size == parts.by_contrast == ()
    (pit,) = parts.by_class
    assert (pit.n, pit.n_drawn) == (1, 0)
    assert math.isnan(pit.seg_miou)


def test_a_model_of_several_classes_is_measured_in_each_by_its_own_pixels():
    both, taken_for_cracks = (Overlap(40, 30, 20), Overlap(10, 5, 0)), Overlap(10, 0, 0)
    outcomes = [
        replace(result("crack", area=50), classes=both),
        replace(result("pit"), classes=(Overlap(0, 10, 0), taken_for_cracks)),
        replace(result("pit", drawn=False, opened=False), classes=(Overlap(0, 0, 0),) * 2),
        replace(result("good"), classes=(Overlap(0, 9, 0),) * 2),
    ]
    crack, pit = breakdown(outcomes, ("crack", "pit")).by_class
    assert (crack.n, crack.caught, crack.n_drawn, crack.seg_miou) == (1, 1, 1, 20 / 50)
    assert (pit.n, pit.caught, pit.n_drawn, pit.seg_recall, pit.seg_miou) == (3, 2, 2, 0.5, 0)


def test_an_object_is_caught_where_every_defective_image_of_it_is():
    outcomes = [
        result("pit", group="whole"),
        result("pit", group="whole"),
        result("pit", group="half", score=0.2, opened=False),
        result("pit", group="half"),
        result("pit", group="lost", score=0.1, opened=False),
        result("good", group="good", opened=False),
    ]
    objects = breakdown(outcomes, DEFECT).by_group
    assert (objects.n, objects.caught) == (3, 1)
    assert objects.recall == pytest.approx(1 / 3)
    worst = [(item.name, item.n, item.caught, item.lowest_score) for item in objects.worst]
    assert worst == [("lost", 1, 0, 0.1), ("half", 2, 1, 0.2)]
