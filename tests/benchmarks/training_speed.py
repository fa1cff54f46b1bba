"""How fast the joint model trains beside a plain U-Net with the same encoder, in the same run.

    pip install segmentation-models-pytorch
    python tests/benchmarks/training_speed.py

Steps of both alternate, on the same random images, so that what else the machine does hits both.
The opponent is segmentation_models_pytorch's Unet, its loss BCE, in float32 as it comes; ours is
given in float32 and in bfloat16, with its whole loss, and as it trains a pretrained encoder.
"""

import argparse
import statistics
import sys
import time

import torch
from torch import nn

from train.batches import Example
from train.encoder import DEFAULT_ENCODER
from train.loss import LossWeights, joint_loss
from train.memory import keep_freed_memory
from train.network import JointNetwork, Logits

STEPS, WARM_UP = 12, 3


def main() -> None:
    """Print samples per second as Markdown."""
    import segmentation_models_pytorch as smp

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    plain = smp.Unet(f"tu-{DEFAULT_ENCODER}", encoder_weights=None, in_channels=3, classes=1)
    joint, frozen = (JointNetwork(DEFAULT_ENCODER, 1, 1, classifier=True) for _ in range(2))
    frozen.freeze_early()
    steps = {
        "segmentation_models_pytorch Unet, float32": PlainStep(plain),
        "defectgate, float32": JointStep(joint, torch.float32),
        "defectgate, bf16-mixed": JointStep(joint, torch.bfloat16),
        "defectgate, bf16-mixed, first layers kept": JointStep(frozen, torch.bfloat16),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(STEPS):
        batch = example(asked.batch_size, asked.side)
        for name, step in steps.items():
            begun = time.perf_counter()
            step(batch)
            if number >= WARM_UP:
                taken[name].append(time.perf_counter() - begun)
    speeds = {name: asked.batch_size / statistics.median(s) for name, s in taken.items()}
    opponent = next(iter(speeds.values()))
    lines = [f"| training, {asked.threads} threads | samples per second | ratio |", "|---|---|---|"]
    lines += [
        f"| {name} | {speed:.1f} | {speed / opponent:.2f} |" for name, speed in speeds.items()
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def example(samples: int, side: int) -> Example:
    """Noise, with masks that cover a fiftieth."""
    image = torch.randint(0, 256, (samples, side, side, 1), dtype=torch.uint8)
    mask = (torch.rand(samples, 1, side, side) > 0.98).float()
    return Example(image, mask, torch.ones(samples, 1), torch.ones(samples))


class JointStep:
    """One step of our training."""

    def __init__(self, network: JointNetwork, precision: torch.dtype) -> None:
        self._network = network.to(memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
        self._precision = precision

    def __call__(self, batch: Example) -> None:
        """Forward, backward, update."""
        mixed = self._precision is not torch.float32
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = self._network(batch.image)
        loss = joint_loss(Logits(*(x.float() for x in logits)), batch, LossWeights())
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


class PlainStep:
    """One step of the opponent's."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network.train()
        self._optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def __call__(self, batch: Example) -> None:
        """Forward, backward, update."""
        image = batch.image.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float() / 255
        loss = nn.functional.binary_cross_entropy_with_logits(self._network(image), batch.mask)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


if __name__ == "__main__":
    main()
