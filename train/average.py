"""Weights averaged over the last steps: steadier than those of any one of them."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `network`: an exponential moving average of weights and statistics.

    It reaches back 1 / (1 - decay) steps, and less far in the first ones, so as to forget how the
    network began.
    """
    nearer = 1 - min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    weights = [pair for pair in pairs if pair[0].is_floating_point()]
    move = get_ema_multi_avg_fn(1 - nearer)  # type: ignore[no-untyped-call]
    move(*map(list, zip(*weights, strict=True)), 0)
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)
