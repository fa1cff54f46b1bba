"""An epoch's samples: half of them defective, and nobody is forgotten."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.sampler import BalancedSampler

label_lists = st.lists(st.booleans(), min_size=1, max_size=40)
both_labels = label_lists.filter(lambda labels: len(set(labels)) == 2)


def epochs(labels, count, seed=0):
    sampler = BalancedSampler(labels, seed)
    return [sampler.epoch(number) for number in range(count)]


@given(both_labels)
def test_half_of_an_epoch_is_defective(labels):
    for epoch in epochs(labels, 3):
        assert len(epoch) == len(labels)
        assert sum(labels[index] for index in epoch) == len(labels) // 2


@given(label_lists, st.integers(1, 6))
def test_within_a_label_no_sample_is_used_twice_more_than_another(labels, count):
    used = np.bincount(np.concatenate(epochs(labels, count)), minlength=len(labels))
    for label in set(labels):
        uses = used[np.array(labels) == label]
        assert uses.max() - uses.min() <= 1


def test_every_good_sample_gets_its_turn_however_many_there_are():
    labels = [True] * 2 + [False] * 98
    seen = {index for epoch in epochs(labels, 2) for index in epoch}
    assert seen == set(range(100))


@given(st.booleans(), st.integers(1, 9))
def test_samples_of_one_label_are_all_used_once(label, length):
    (epoch,) = epochs([label] * length, 1)
    assert sorted(epoch) == list(range(length))


@given(both_labels, st.integers(0, 99))
def test_the_same_seed_gives_the_same_epochs(labels, seed):
    assert epochs(labels, 3, seed) == epochs(labels, 3, seed)


def test_another_seed_or_epoch_gives_another_order():
    labels = [False, True] * 20
    first, second = epochs(labels, 2)
    assert first != second
    assert first != epochs(labels, 1, seed=1)[0]


def test_the_two_labels_are_mixed():
    (epoch,) = epochs([True] * 50 + [False] * 50, 1)
    early = sum(index < 50 for index in epoch[:50])
    assert 10 < early < 40
