"""Operators with a backward pass of their own, where torch's takes a CPU several times as long.

The sums are the same, in another order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

TAPS = 3  # the widest kernel by whose weights oneDNN differentiates fast

Sides = tuple[int, ...]  # down, right


def twice(x: Tensor) -> Tensor:
    """Each pixel of (N, C, H, W) as two by two, (N, C, 2H, 2W)."""
    if x.requires_grad:
        return _Twice.apply(x)  # type: ignore[no-any-return]
    return functional.interpolate(x, scale_factor=2.0)


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: Sides, padding: Sides) -> Tensor:
    """A convolution of each channel of (N, C, H, W) apart, by `weight` (C, 1, K, K)."""
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        precision = torch.get_autocast_dtype("cpu")
        x, weight = x.to(precision), weight.to(precision)
    if x.device.type == "cpu" and weight.requires_grad and _slow(x, weight, stride):
        return _DepthwiseConv2d.apply(x, weight, stride, padding)  # type: ignore[no-any-return]
    return functional.conv2d(x, weight, None, stride, padding, 1, len(weight))


def _slow(x: Tensor, weight: Tensor, stride: Sides) -> bool:
    """Whether torch has no fast gradient: in 16 bits, of wide kernels and of strides."""
    return x.dtype.itemsize < 4 and (max(weight.shape[-2:]) > TAPS or max(stride) > 1)  # noqa: PLR2004


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2.0)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return functional.avg_pool2d(gradient, 2, divisor_override=1)


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Sides, padding: Sides) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        by_input = None
        if ctx.needs_input_grad[0]:
            by_input = _by_input(gradient, x, weight, ctx.stride, ctx.padding)
        return by_input, _by_weight(gradient, x, weight, ctx.stride, ctx.padding), None, None


def _by_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: Sides, padding: Sides) -> Tensor:
    """In 32 bits where there is a stride: in 16 that takes some fifty times as long."""
    precision = x.dtype if max(stride) == 1 else torch.float32
    found, _, _ = torch.ops.aten.convolution_backward(
        *(tensor.to(precision) for tensor in (gradient, x, weight)),
        None,
        stride,
        padding,
        dilation=(1, 1),
        transposed=False,
        output_padding=(0, 0),
        groups=len(weight),
        output_mask=(True, False, False),
    )
    return found.to(x.dtype)  # type: ignore[no-any-return]


def _by_weight(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Sides, padding: Sides
) -> Tensor:
    """A wide kernel's by pieces of `TAPS`: each is the gradient of a kernel of that width."""
    down, right = padding
    padded = functional.pad(x, (right, right, down, down))
    high, wide = (s * (n - 1) for s, n in zip(stride, gradient.shape[-2:], strict=True))
    total = torch.empty_like(weight)
    for rows in _pieces(weight.shape[-2]):
        for columns in _pieces(weight.shape[-1]):
            seen = padded[..., rows.start : rows.stop + high, columns.start : columns.stop + wide]
            taps = total[..., rows, columns]
            taps[:] = conv2d_weight(  # type: ignore[no-untyped-call]
                seen.contiguous(memory_format=torch.channels_last),
                taps.shape,
                gradient,
                stride,
                groups=len(weight),
            )
    return total


def _pieces(taps: int) -> list[slice]:
    """Pieces that cover `taps`; the last may overlap."""
    width = min(taps, TAPS)
    begins = [min(begin, taps - width) for begin in range(0, taps, width)]
    return [slice(begin, begin + width) for begin in begins]
