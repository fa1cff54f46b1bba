"""The joint loss of sample-centric multi-task learning (arXiv 2510.13226).

Both parts are averaged per sample, so a sample with ten defective pixels weighs as much in the
gradient as one with ten thousand.
"""

import torch
from torch import Tensor
from torch.nn import functional


def joint_loss(
    decision: Tensor,
    mask: Tensor,
    label: Tensor,
    truth: Tensor,
    seg_weight: float,
    cls_weight: float,
) -> Tensor:
    """`seg_weight * L_seg + cls_weight * L_cls`, a scalar.

    decision (N, K) and mask (N, K, h, w) are logits; label (N, K) and truth (N, K, h, w) in [0, 1].
    """
    seg = segmentation_loss(mask, truth).mean()
    cls = functional.binary_cross_entropy_with_logits(decision, label)
    return seg_weight * seg + cls_weight * cls


def segmentation_loss(mask: Tensor, truth: Tensor) -> Tensor:
    """BCE + Dice of every sample, (N,)."""
    bce = functional.binary_cross_entropy_with_logits(mask, truth, reduction="none")
    return bce.mean((1, 2, 3)) + _dice(torch.sigmoid(mask), truth)


def _dice(probability: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - (2 |P G| + s) / (|P| + |G| + s) for every sample, (N,); s keeps empty masks defined."""
    axes = (1, 2, 3)
    both = (probability * truth).sum(axes)
    return 1 - (2 * both + smooth) / (probability.sum(axes) + truth.sum(axes) + smooth)
