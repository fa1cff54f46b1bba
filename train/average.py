"""Weights averaged over the last steps: steadier than those of any one of them."""

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `network`: an exponential moving average of weights and statistics.

    It reaches back 1 / (1 - decay) steps, and less far in the first ones, so as to forget how the
    network began.
    """
    nearer = 1 - min(decay, (1 + step) / (10 + step))
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, nearer)
        else:
            mean.copy_(value)
