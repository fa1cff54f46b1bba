"""The joint loss against a plain numpy one: every sample has the same say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.batches import Example
from train.loss import LossWeights, joint_loss, segmentation_loss
from train.network import Logits

SIDE = 64


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(logits, truth):
    p = sigmoid(logits)
    return float(np.mean(-truth * np.log(p) - (1 - truth) * np.log(1 - p)))


def dice(logits, truth, smooth=1.0):
    p = sigmoid(logits)
    whole = p.sum() + truth.sum()
    return float(1 - (whole - np.abs(p - truth).sum() + smooth) / (whole + smooth))


def batch(seed, samples=3, classes=2, shape=(4, 4)):
    """Decision, mask, label and truth, as float64."""
    rng = np.random.default_rng(seed)
    decision, label = rng.normal(0, 2, (samples, classes)), rng.integers(0, 2, (samples, classes))
    mask = rng.normal(0, 2, (samples, classes, *shape))
    truth = rng.integers(0, 2, mask.shape) * rng.integers(0, 2, (samples, 1, 1, 1))
    return decision, mask, label.astype(float), truth.astype(float)


def example(label, truth, drawn=None):
    """What the loss takes of a batch."""
    known = torch.ones(len(label)) if drawn is None else torch.tensor(drawn)
    return Example(torch.empty(0), truth, label, known)


PAPER = LossWeights(1.0, 0.5, 0.0)


def loss_of(decision, mask, label, truth, weights=PAPER, location=None):
    places = torch.zeros_like(mask[..., ::2, ::2]) if location is None else location
    return joint_loss(Logits(decision, mask, places), example(label, truth), weights)


def block_maximum(truth):
    """The largest of each block of 2x2."""
    samples, classes, height, width = truth.shape
    return truth.reshape(samples, classes, height // 2, 2, width // 2, 2).max(axis=(3, 5))


def square(side):
    truth = torch.zeros(1, 1, SIDE, SIDE)
    truth[..., :side, :side] = 1
    return truth


@given(st.integers(0, 999), st.floats(0, 2), st.floats(0, 2), st.floats(0, 2))
def test_the_loss_is_its_formula_sample_by_sample(seed, seg_weight, cls_weight, locate_weight):
    parts = batch(seed)
    seg = [cross_entropy(m, t) + dice(m, t) for m, t in zip(*parts[1::2], strict=True)]
    location = np.random.default_rng(seed).normal(0, 2, (3, 2, 2, 2))
    places = block_maximum(parts[3])
    locate = [cross_entropy(m, t) + dice(m, t) for m, t in zip(location, places, strict=True)]
    expected = seg_weight * np.mean(seg) + cls_weight * cross_entropy(*parts[0::2])
    expected += locate_weight * np.mean(locate)
    tensors = [torch.from_numpy(part) for part in parts]
    weights = LossWeights(seg_weight, cls_weight, locate_weight)
    assert segmentation_loss(*tensors[1::2]).tolist() == pytest.approx(seg, rel=1e-9)
    found = loss_of(*tensors, weights, torch.from_numpy(location))
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 999))
def test_a_batch_weighs_its_samples_equally(seed):
    parts = [torch.from_numpy(part) for part in batch(seed, samples=4)]
    alone = [loss_of(*(part[n : n + 1] for part in parts)) for n in range(4)]
    together = loss_of(*parts)
    assert float(together) == pytest.approx(float(torch.stack(alone).mean()), rel=1e-9)


def test_missing_a_tiny_defect_costs_as_much_dice_as_missing_a_large_one():
    nothing_drawn = torch.full((1, 1, SIDE, SIDE), -9.0)
    tiny, large = (
        float(segmentation_loss(nothing_drawn, square(side)))
        - cross_entropy(nothing_drawn.numpy(), square(side).numpy())
        for side in (4, 48)
    )
    assert tiny > 0.9
    assert large / tiny < 1.1


def test_the_decision_on_a_tiny_defect_pulls_as_hard_as_on_a_large_one():
    decision = torch.zeros(2, 1, requires_grad=True)
    truth = torch.cat([square(2), square(60)])
    loss_of(decision, torch.zeros_like(truth), torch.ones(2, 1), truth).backward()
    tiny, large = decision.grad.flatten().tolist()
    assert tiny == large < 0


def test_an_empty_mask_drawn_empty_costs_nothing():
    empty = torch.zeros(1, 1, SIDE, SIDE)
    assert float(segmentation_loss(torch.full_like(empty, -30.0), empty)) == pytest.approx(0)
    assert float(segmentation_loss(torch.full_like(empty, 30.0), empty)) > 1


def test_confident_logits_keep_the_loss_finite():
    logits = torch.tensor([[[[1e4, -1e4]]]])
    label, truth = torch.zeros(1, 1), 1 - logits.clamp(0, 1)
    loss = loss_of(logits[0, 0, :, :1], logits, label, truth, location=logits)
    assert torch.isfinite(loss)


@given(st.integers(0, 999))
def test_a_sample_without_a_mask_teaches_the_decision_alone(seed):
    decision, mask, label, truth = (torch.from_numpy(part) for part in batch(seed, samples=2))
    mask.requires_grad_()
    logits = Logits(decision, mask, torch.zeros(2, 2, 2, 2))
    mixed = joint_loss(logits, example(label, truth, [1.0, 0.0]), PAPER)
    mixed.backward()
    assert (mask.grad[0] != 0).all()
    assert (mask.grad[1] == 0).all()
    seg = float(segmentation_loss(mask, truth)[0].detach())
    cls = cross_entropy(decision.numpy(), label.numpy())
    assert float(mixed.detach()) == pytest.approx(seg + 0.5 * cls, rel=1e-6)


def test_a_batch_without_any_mask_still_teaches_the_decision():
    decision = torch.zeros(2, 1, requires_grad=True)
    mask, truth = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    batch_of_two = example(torch.ones(2, 1), truth, [0.0, 0.0])
    logits = Logits(decision, mask, torch.zeros(2, 1, 2, 2))
    joint_loss(logits, batch_of_two, LossWeights()).backward()
    assert (decision.grad < 0).all()


def test_without_a_classifier_the_mask_alone_is_taught():
    decision, mask, label, truth = (torch.from_numpy(part) for part in batch(1))
    loss = joint_loss(Logits(decision, mask, None), example(label, truth), LossWeights())
    assert float(loss) == pytest.approx(float(segmentation_loss(mask, truth).mean()))
