"""The joint loss against a plain numpy one: every sample has the same say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.loss import joint_loss, segmentation_loss

SIDE = 64


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(logits, truth):
    p = sigmoid(logits)
    return float(np.mean(-truth * np.log(p) - (1 - truth) * np.log(1 - p)))


def dice(logits, truth, smooth=1.0):
    p = sigmoid(logits)
    return float(1 - (2 * (p * truth).sum() + smooth) / (p.sum() + truth.sum() + smooth))


def batch(seed, samples=3, classes=2, shape=(5, 4)):
    """Decision, mask, label and truth, as float64."""
    rng = np.random.default_rng(seed)
    decision, label = rng.normal(0, 2, (samples, classes)), rng.integers(0, 2, (samples, classes))
    mask = rng.normal(0, 2, (samples, classes, *shape))
    truth = rng.integers(0, 2, mask.shape) * rng.integers(0, 2, (samples, 1, 1, 1))
    return decision, mask, label.astype(float), truth.astype(float)


def square(side):
    truth = torch.zeros(1, 1, SIDE, SIDE)
    truth[..., :side, :side] = 1
    return truth


@given(st.integers(0, 999), st.floats(0, 2), st.floats(0, 2))
def test_the_loss_is_its_formula_sample_by_sample(seed, seg_weight, cls_weight):
    parts = batch(seed)
    seg = [cross_entropy(m, t) + dice(m, t) for m, t in zip(*parts[1::2], strict=True)]
    expected = seg_weight * np.mean(seg) + cls_weight * cross_entropy(*parts[0::2])
    tensors = [torch.from_numpy(part) for part in parts]
    assert segmentation_loss(*tensors[1::2]).tolist() == pytest.approx(seg, rel=1e-9)
    found = joint_loss(*tensors, seg_weight, cls_weight)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 999))
def test_a_batch_weighs_its_samples_equally(seed):
    parts = [torch.from_numpy(part) for part in batch(seed, samples=4)]
    alone = [joint_loss(*(part[n : n + 1] for part in parts), 1.0, 0.5) for n in range(4)]
    together = joint_loss(*parts, 1.0, 0.5)
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
    joint_loss(decision, torch.zeros_like(truth), torch.ones(2, 1), truth, 0.5, 0.5).backward()
    tiny, large = decision.grad.flatten().tolist()
    assert tiny == large < 0


def test_an_empty_mask_drawn_empty_costs_nothing():
    empty = torch.zeros(1, 1, SIDE, SIDE)
    assert float(segmentation_loss(torch.full_like(empty, -30.0), empty)) == pytest.approx(0)
    assert float(segmentation_loss(torch.full_like(empty, 30.0), empty)) > 1


def test_confident_logits_keep_the_loss_finite():
    logits = torch.tensor([[[[1e4, -1e4]]]])
    loss = joint_loss(logits[0, 0, :, :1], logits, torch.zeros(1, 1), 1 - logits.clamp(0, 1), 1, 1)
    assert torch.isfinite(loss)
