"""Operators with a backward pass of their own: their gradients are torch's."""

import pytest
import torch
from torch.nn import functional

from train.gradients import depthwise_conv2d, twice

SIXTEEN_BITS = 0.01  # of the gradient's norm


def noise(*shape):
    drawn = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    return drawn.requires_grad_()


def gradients_of(function, *inputs):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        result = function(*inputs).float()
        result.backward(torch.randn_like(result))
    found = [value.grad for value in inputs]
    for value in inputs:
        value.grad = None
    return result, found


def doubled(x):
    return functional.interpolate(x, scale_factor=2.0)


def test_a_doubled_image_and_its_gradient_are_torchs():
    x = noise(2, 3, 5, 7)
    (ours, (gradient,)), (theirs, (expected,)) = gradients_of(twice, x), gradients_of(doubled, x)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 4), (3, 3), (5, 5), (7, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_a_depthwise_convolution_has_the_gradients_of_the_rounded_numbers(
    kernel, stride, padded, precision
):
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
    x, weight = noise(2, 16, 15, 12), noise(16, 1, *kernel)

    def ours(x, weight):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            result = depthwise_conv2d(x, weight, stride, padding)
        assert result.dtype == precision
        return result

    def torchs(x, weight):
        x, weight = x.to(precision).float(), weight.to(precision).float()
        return functional.conv2d(x, weight, None, stride, padding, 1, 16)

    got, expected = gradients_of(ours, x, weight), gradients_of(torchs, x, weight)
    assert (got[0] - expected[0]).norm() < SIXTEEN_BITS * expected[0].norm()
    for gradient, theirs in zip(got[1], expected[1], strict=True):
        assert (gradient.dtype, gradient.shape) == (theirs.dtype, theirs.shape)
        assert (gradient - theirs).norm() < SIXTEEN_BITS * theirs.norm()


@pytest.mark.parametrize("taught", ["image", "weight"])
def test_what_is_not_taught_gets_no_gradient(taught):
    inputs = {"image": noise(1, 2, 6, 6), "weight": noise(2, 1, 5, 5)}
    for name, value in inputs.items():
        value.requires_grad_(name == taught)
    with torch.autocast("cpu", torch.bfloat16):
        result = depthwise_conv2d(*inputs.values(), (1, 1), (2, 2))
    result.sum().backward()
    assert [name for name, value in inputs.items() if value.grad is not None] == [taught]
