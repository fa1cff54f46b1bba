"""Averaged weights: the formula, and that they forget how the network began."""

import copy

import pytest
import torch
from torch import nn

from train.average import follow


def network(value):
    made = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(made[0].weight, value)
    return made


def test_the_average_is_its_formula():
    average, latest = network(0.0), network(0.0)
    expected = 0.0
    for step in range(200):
        nn.init.constant_(latest[0].weight, float(step))
        follow(average, latest, step, 0.9)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average[0].weight.item() == pytest.approx(expected, rel=1e-5)
    assert average[0].weight.item() == pytest.approx(199 - 9, abs=0.1)


def test_statistics_are_averaged_and_counters_copied():
    average, latest = network(0.0), network(0.0)
    latest[1].running_mean.fill_(3.0)
    latest[1].num_batches_tracked.fill_(7)
    follow(average, latest, 1000, 0.5)
    assert float(average[1].running_mean) == 1.5
    assert int(average[1].num_batches_tracked) == 7


def test_no_memory_is_the_network_itself():
    average, latest = network(0.0), network(4.0)
    before = copy.deepcopy(latest.state_dict())
    follow(average, latest, 5, 0.0)
    assert torch.equal(average[0].weight, latest[0].weight)
    assert torch.equal(before["0.weight"], latest[0].weight)
