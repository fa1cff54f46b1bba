"""The joint network: one encoder, a classifier that decides, a decoder that draws."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.encoder import DEFAULT_ENCODER, STRIDES, encoder
from train.gradients import twice

COLOURS = 3  # channels that an encoder reads


@dataclass(frozen=True)
class NetworkConfig:
    """What rebuilds the network."""

    encoder: str = DEFAULT_ENCODER
    channels: int = 1
    classes: int = 1
    classifier: bool = True


class Logits(NamedTuple):
    """Logits: the decision (N, K), the mask (N, K, H, W), and where the classifier looked.

    `location` (N, K, H/8, W/8) is for training alone, and None without a classifier.
    """

    decision: Tensor
    mask: Tensor
    location: Tensor | None


class JointNetwork(nn.Module):
    """Images in, a decision and a drawing out.

    `forward` takes (N, H, W, C) uint8 or float in [0, 255], C = 1 or 3 (RGB), H and W multiples
    of 32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, channels: int, classes: int, *, classifier: bool) -> None:
        super().__init__()
        self.channels = channels
        self.folded = False
        self.frozen: tuple[str, ...] = ()
        self.encoder = encoder(name)
        levels = self.encoder.feature_info.channels()[-len(STRIDES) :]
        self.classifier = Classifier(levels[1:], classes) if classifier else None
        self.decoder = Decoder(levels, classes)
        mean, std = _normalisation(self.encoder, channels)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, image: Tensor) -> Logits:
        """What both heads say of the images."""
        skips = self.encode(image)
        mask = self.decoder(skips)
        if self.classifier is None:
            return Logits(torch.amax(mask, (2, 3)), mask, None)
        decision, location = self.classifier(skips[1:])
        return Logits(decision, mask, location)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Features at strides 2 to 32, (N, C_k, H/2^k, W/2^k) each."""
        pixels = image.to(self.mean.dtype).permute(0, 3, 1, 2)  # TensorRT casts uint8 first
        pixels = (pixels - self.mean) / self.std
        if self.channels == 1 and not self.folded:
            pixels = pixels.expand(-1, COLOURS, -1, -1)
        features: list[Tensor] = self.encoder(pixels)
        return features[-len(STRIDES) :]

    def freeze_early(self) -> None:
        """Leave all that makes the features at strides 2 and 4 as it is, weights and statistics.

        What a pretrained encoder sees there, edges and spots, any surface has; few samples would
        only spoil it.
        """
        self.encoder.eval()
        self.encoder(torch.zeros(1, 3, 64, 64))[1 - len(STRIDES)].sum().backward()
        early = [p for p in self.encoder.parameters() if p.grad is not None]
        self.frozen = tuple(
            name
            for name, module in self.named_modules()
            if any(p.grad is not None for p in module.parameters(recurse=False))
        )
        for parameter in early:
            parameter.requires_grad_(requires_grad=False)
            parameter.grad = None
        self.train(self.training)

    def freeze_all_but_decoder(self) -> None:
        """Leave what decides as it is, weights and statistics; the decoder learns on alone."""
        self.requires_grad_(requires_grad=False)
        self.decoder.requires_grad_(requires_grad=True)
        self.frozen = ("encoder", "classifier")
        self.train(self.training)

    def train(self, mode: bool = True) -> "JointNetwork":  # noqa: FBT001, FBT002 - torch's
        """As torch's; the frozen layers stay in evaluation."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def fold_grey(self) -> None:
        """Sum the first convolution over its three equal inputs: the same numbers, a third of it.

        For export alone: the folded network no longer fits its own checkpoint. Where not one
        convolution alone reads the image, it stays as it is.
        """
        convolutions = (m for m in self.encoder.modules() if isinstance(m, nn.Conv2d))
        readers = [conv for conv in convolutions if conv.in_channels == COLOURS]
        if self.channels != 1 or len(readers) != 1:
            return
        (first,) = readers
        first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
        first.in_channels = 1
        self.folded = True

    def classify(self, skips: list[Tensor], mask: Tensor | None) -> Tensor:
        """Logits (N, K); without a classifier the mask's maximum stands in for it."""
        if self.classifier is None:
            return torch.amax(cast("Tensor", mask), (2, 3))
        decision: Tensor = self.classifier(skips[1:])[0]
        return decision


class Classifier(nn.Module):
    """Decides by where it finds evidence: its strongest place, and the evidence as a whole.

    It is taught to find the places too, so it need not guess from a label what in the image was
    meant; that holds with few objects to learn from. Without the whole it ranked worse, though the
    whole alone ranks badly: a label teaches the places less where it has that to teach.
    """

    def __init__(self, levels: list[int], classes: int, width: int = 64) -> None:
        super().__init__()
        self.evidence = Evidence(levels, width)
        self.locate = nn.Conv2d(width, classes, 1)
        self.weigh = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, classes))

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and their places (N, K, H/8, W/8), from features at strides 4 to 32."""
        evidence = self.evidence(levels)
        location = self.locate(evidence)
        whole = torch.cat([pool(evidence).flatten(1) for pool in (_maximum, _average)], 1)
        return _maximum(location).flatten(1) + self.weigh(whole), location


class Evidence(nn.Module):
    """Lays features at strides 4 to 32 together at stride 8, from the coarsest to the finest.

    From stride 4 the maximum is taken, which keeps a defect of a few pixels.
    """

    def __init__(self, levels: list[int], width: int) -> None:
        super().__init__()
        finest, fine, coarse, coarsest = levels
        self.coarse = _conv(coarsest + coarse, width)
        self.fine = nn.Sequential(_conv(width + fine + finest, width), _conv(width, width))

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Evidence (N, width, H/8, W/8)."""
        finest, fine, coarse, coarsest = levels
        found = self.coarse(torch.cat((twice(coarsest), coarse), 1))
        together = (twice(found), fine, functional.max_pool2d(finest, 2))
        evidence: Tensor = self.fine(torch.cat(together, 1))
        return evidence


class Decoder(nn.Module):
    """A U-Net's upward half: resize by 2, concatenate the skip, convolve; made to be fused.

    At stride 2 each place draws its own four pixels: thin defects get borders of the full size, at
    the cost of the half one.
    """

    def __init__(
        self, levels: list[int], classes: int, widths: tuple[int, ...] = (128, 64, 48, 32)
    ) -> None:
        super().__init__()
        inputs = (levels[-1], *widths)
        self.merge = nn.ModuleList(
            nn.Sequential(_conv(below + skip, width), _conv(width, width))
            for (below, width), skip in zip(pairwise(inputs), reversed(levels[:-1]), strict=True)
        )
        self.draw = nn.Conv2d(widths[-1], 4 * classes, 1)

    def forward(self, skips: list[Tensor]) -> Tensor:
        """Logits (N, K, H, W) from features at strides 2 to 32."""
        x = skips[-1]
        for merge, skip in zip(self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat((twice(x), skip), 1))
        return functional.pixel_shuffle(self.draw(x), 2)


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _maximum(x: Tensor) -> Tensor:
    return functional.adaptive_max_pool2d(x, 1)


def _average(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, 1)


def _normalisation(model: Any, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and std of the pixels, (1, C, 1, 1); one for all channels where the camera is grey.

    One mean and one std make three equal channels foldable into one without a change of bits at
    the padded border.
    """
    from timm.data.config import resolve_data_config

    data = resolve_data_config(  # type: ignore[no-untyped-call]
        {}, model=model
    )
    mean, std = torch.tensor(data["mean"]), torch.tensor(data["std"])
    if channels == 1:
        mean, std = mean.mean().reshape(1), std.mean().reshape(1)
    return 255 * mean.reshape(1, -1, 1, 1), 255 * std.reshape(1, -1, 1, 1)
