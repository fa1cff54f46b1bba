"""Divisions by group: nothing is lost, no object stands on both sides, kinds are shared evenly."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DataError
from train.division import divide_by_group, leaks, require_both_labels, with_splits
from train.drawing import MaskFile
from train.sample import SPLITS, Sample


def sample(name, kind="good", group="", split="val"):
    return Sample(name, Path(name), None, kind != "good", kind, split, group or name)


groups_of_one_kind = st.lists(
    st.tuples(st.sampled_from(["good", "pit", "crack"]), st.integers(1, 5)), max_size=20
)


def samples_of(groups):
    return [
        sample(f"{number} {member}", kind, f"part {number}")
        for number, (kind, size) in enumerate(groups)
        for member in range(size)
    ]


@given(groups_of_one_kind)
def test_a_division_loses_nothing_and_keeps_groups_whole(groups):
    samples = samples_of(groups)
    first, second = divide_by_group(samples)
    assert sorted(s.name for s in (*first, *second)) == sorted(s.name for s in samples)
    assert {s.group for s in first}.isdisjoint({s.group for s in second})


@given(groups_of_one_kind, st.randoms())
def test_a_division_does_not_depend_on_the_order(groups, random):
    samples = samples_of(groups)
    expected = [{s.name for s in part} for part in divide_by_group(samples)]
    random.shuffle(samples)
    assert [{s.name for s in part} for part in divide_by_group(samples)] == expected


@given(groups_of_one_kind)
def test_a_division_shares_every_kind_to_within_one_group(groups):
    first, second = (Counter(s.kind for s in part) for part in divide_by_group(samples_of(groups)))
    for kind in ("good", "pit", "crack"):
        largest = max((size for name, size in groups if name == kind), default=0)
        assert abs(first[kind] - second[kind]) <= largest


def test_kinds_of_one_group_each_are_spread_over_both_parts():
    samples = samples_of([(kind, 3) for kind in ("pit", "crack", "break", "fray", "good")])
    assert sorted(len(part) for part in divide_by_group(samples)) == [6, 9]


def test_a_group_with_one_defect_is_shared_out_by_its_defect():
    samples = [
        sample(f"{part} {number}", kind if number == 0 else "good", part)
        for part, kind, size in (
            ("a", "pit", 10),
            ("b", "pit", 3),
            ("c", "crack", 4),
            ("d", "crack", 3),
        )
        for number in range(size)
    ]
    for part in divide_by_group(samples):
        assert sorted(s.kind for s in part if s.defective) == ["crack", "pit"]


@given(groups_of_one_kind, st.randoms())
def test_a_made_split_keeps_groups_whole_and_does_not_depend_on_the_order(groups, random):
    samples = [replace(s, split="") for s in samples_of(groups)]
    divided = with_splits(samples)
    assert [replace(s, split="") for s in divided] == samples
    assert all(s.split in SPLITS for s in divided)
    assert leaks(divided) == []
    random.shuffle(samples)
    assert set(with_splits(samples)) == set(divided)


@given(st.lists(st.sampled_from(["good", "pit", "crack"]), min_size=10, max_size=60))
def test_a_made_split_shares_every_kind_three_to_one_to_one(kinds):
    divided = with_splits([sample(str(n), kind, split="") for n, kind in enumerate(kinds)])
    for kind, total in Counter(kinds).items():
        counts = Counter(s.split for s in divided if s.kind == kind)
        for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            assert abs(counts[split] - share * total) <= 1


def test_a_set_without_validation_gets_a_quarter_of_its_training():
    given_splits = [sample(f"a{n}", "pit", split="train") for n in range(8)]
    given_splits += [sample(f"b{n}", "pit", split="test") for n in range(5)]
    assert Counter(s.split for s in with_splits(given_splits)) == {"train": 6, "val": 2, "test": 5}


def test_splits_that_are_given_stay():
    samples = (sample("a", split="train"), sample("b", "pit", split="val"))
    assert with_splits(samples) == samples


def test_a_group_in_two_splits_is_told():
    samples = [sample("a", group="part", split="train"), sample("b", group="part", split="test")]
    (told,) = leaks([*samples, sample("c", split="val")])
    assert told.startswith("group 'part' is in the splits train and test; images of one object")


def test_those_drawn_are_shared_apart_from_those_only_labelled():
    samples = [sample(f"labelled {n}", "pit", split="") for n in range(30)]
    drawn = MaskFile(Path("mask.png"), 1)
    samples += [replace(sample(f"drawn {n}", "pit", split=""), drawing=drawn) for n in range(10)]
    divided = with_splits([*samples, *(sample(f"good {n}", split="") for n in range(60))])
    drawn_in = Counter(s.split for s in divided if s.drawing)
    assert drawn_in == {"train": 6, "val": 2, "test": 2}
    halves = divide_by_group([s for s in divided if s.split == "val"])
    assert [sum(s.drawing is not None for s in half) for half in halves] == [1, 1]


def test_rare_kinds_come_into_every_split():
    kinds = ("break", "crack", "fray", "pit", "stain", "scratch")
    samples = [sample(f"{kind} {n}", kind, split="") for kind in kinds for n in range(2)]
    assert {s.split for s in with_splits(samples)} == set(SPLITS)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["good", "good"], "line 3: no defective samples among 2; a gate needs both, add some"),
        (["pit"], "line 3: no good samples among 1; a gate needs both, add some"),
    ],
)
def test_samples_of_one_label_are_refused(kinds, message):
    with pytest.raises(DataError, match=message):
        require_both_labels([sample(str(n), kind) for n, kind in enumerate(kinds)], "line 3")


def test_samples_of_both_labels_are_enough():
    require_both_labels([sample("a"), sample("b", "pit")], "line 3")
