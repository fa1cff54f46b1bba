"""The shared encoder: any timm model that gives features at strides 2 to 32."""

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from runtime.errors import ModelError
from train.gradients import depthwise_conv2d

DEFAULT_ENCODER = "tf_efficientnet_lite0"
STRIDES = (2, 4, 8, 16, 32)


def encoder(name: str) -> Any:
    """The timm model `name` as a feature pyramid, not trained yet.

    Raises:
        ModelError: timm does not know the name, or the model has no features at strides 2 to 32.
    """
    import timm

    if name.partition(".")[0] not in timm.list_models():
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
    _replace_convolutions(model)
    _refuse_other_convolutions(name, model)
    return model


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel apart, with a backward pass that is fast in bfloat16 too."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        return depthwise_conv2d(x, self.weight, self.stride, cast("tuple[int, ...]", self.padding))


class EvenInputConv2d(nn.Conv2d):
    """TensorFlow's "same" convolution for inputs of even sides: its padding is known beforehand.

    timm computes it from each input's size, which an exporter can only write as a graph of its own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W), H and W even; the odd pixel of padding goes below and right."""
        return functional.conv2d(
            self.pad(x), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )

    def pad(self, x: Tensor) -> Tensor:
        """What the kernel goes over."""
        total = [k - s for k, s in zip(self.kernel_size, self.stride, strict=True)]
        return functional.pad(x, [side for t in reversed(total) for side in (t // 2, t - t // 2)])


class EvenInputDepthwiseConv2d(EvenInputConv2d):
    """Both."""

    def forward(self, x: Tensor) -> Tensor:
        """As `EvenInputConv2d.forward`."""
        return depthwise_conv2d(self.pad(x), self.weight, self.stride, (0, 0))


def _replace_convolutions(model: nn.Module) -> None:
    """Give convolutions the ways of computing above; their weights stay."""
    from timm.layers.conv2d_same import Conv2dSame

    for conv in model.modules():
        if isinstance(conv, Conv2dSame):
            conv.__class__ = EvenInputDepthwiseConv2d if _plain_depthwise(conv) else EvenInputConv2d  # type: ignore[assignment]
        elif type(conv) is nn.Conv2d and _plain_depthwise(conv):
            conv.__class__ = DepthwiseConv2d


def _plain_depthwise(conv: nn.Conv2d) -> bool:
    each_apart = 1 < conv.groups == conv.in_channels == conv.out_channels
    zeros_around = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return each_apart and zeros_around and conv.bias is None and conv.dilation == (1, 1)


def _refuse_other_convolutions(name: str, model: nn.Module) -> None:
    """Refuse those whose weights are computed anew each time, which nothing here quantises."""
    known = {nn.Conv2d, DepthwiseConv2d, EvenInputConv2d, EvenInputDepthwiseConv2d}
    for conv in model.modules():
        if isinstance(conv, nn.Conv2d) and type(conv) not in known:
            raise ModelError(
                f"--encoder {name}: its {type(conv).__name__} computes its weights, so it cannot "
                f"be quantised; use an encoder of plain convolutions such as {DEFAULT_ENCODER}"
            )


def _similar(name: str) -> str:
    import difflib

    import timm

    close = difflib.get_close_matches(name, timm.list_models(), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; use {DEFAULT_ENCODER}"
