"""The joint loss of sample-centric multi-task learning (arXiv 2510.13226).

Both parts are averaged per sample, so a sample with ten defective pixels weighs as much in the
gradient as one with ten thousand.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from train.batches import Example
from train.network import Logits


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the loss counts: the mask, the decision, and where it looked."""

    seg: float = 1.0
    cls: float = 0.1
    locate: float = 1.0


def joint_loss(logits: Logits, truth: Example, weights: LossWeights) -> Tensor:
    """`seg * L_seg + cls * L_cls + locate * L_locate`, a scalar.

    L_locate is the loss of the mask for the classifier's own coarse map, where a place is as
    defective as the most defective of its pixels. A sample whose mask is not known teaches the
    decision alone.
    """
    seg = segmentation_loss(logits.mask, truth.mask)
    loss = weights.seg * _mean_of_drawn(seg, truth)
    if logits.location is not None:
        places = functional.adaptive_max_pool2d(truth.mask, logits.location.shape[-2:])
        loss += weights.locate * _mean_of_drawn(segmentation_loss(logits.location, places), truth)
        loss += weights.cls * functional.binary_cross_entropy_with_logits(
            logits.decision, truth.label
        )
    return loss


def _mean_of_drawn(loss: Tensor, truth: Example) -> Tensor:
    return (loss * truth.drawn).sum() / truth.drawn.sum().clamp(min=1)


def segmentation_loss(mask: Tensor, truth: Tensor) -> Tensor:
    """BCE + Dice of every sample, (N,)."""
    bce = functional.binary_cross_entropy_with_logits(mask, truth, reduction="none")
    return bce.mean((1, 2, 3)) + _dice(torch.sigmoid(mask), truth)


def _dice(probability: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - (|P| + |G| - |P - G| + s) / (|P| + |G| + s) for every sample, (N,).

    With G in {0, 1} that is 1 - 2 |P G| / (|P| + |G|); with coverages between, it is still least
    where P = G (Wang et al., Dice Semimetric Losses, arXiv 2303.16296). s keeps empty masks
    defined.
    """
    axes = (1, 2, 3)
    whole = probability.sum(axes) + truth.sum(axes)
    apart = (probability - truth).abs().sum(axes)
    return 1 - (whole - apart + smooth) / (whole + smooth)
