"""The float network of a bundle: it says what the trained one says."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.float_onnx import float_onnx
from runtime.manifest import open_bundle
from runtime.spec import InputSpec
from train.checkpoint import load_model, new_network
from train.encoder import DEFAULT_ENCODER
from train.network import NetworkConfig
from train.torch_engine import TorchEngine
from train.weights import load_encoder_weights


def noise(channels, n=2):
    return np.random.default_rng(3).integers(0, 256, (n, 64, 64, channels), dtype=np.uint8)


def assert_same_as_torch(model, network, images):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    scores, masks = session.run(["score", "mask"], {"image": images})
    engine = TorchEngine(network)
    expected, skips = engine.gate(images)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    drawn = np.stack([engine.mask(skips, tile) for tile in range(len(images))])
    assert np.abs(masks.astype(int) - drawn).max() <= 1
    assert np.ptp(drawn) > 0


def test_float_onnx_says_what_torch_says(trained_run, float_bundle):
    network, record = load_model(trained_run)
    assert_same_as_torch(onnx.load(float_bundle / "model.onnx"), network, noise(1))
    measured = open_bundle(float_bundle).manifest.metrics["float"]
    assert measured == pytest.approx(record.metrics, abs=0.01)


def test_float_onnx_of_a_colour_network_says_what_torch_says():
    torch.manual_seed(1)
    network = new_network(NetworkConfig(channels=3)).eval()
    load_encoder_weights(network.encoder, DEFAULT_ENCODER, "auto")
    model = float_onnx(network, InputSpec(64, 64, 3))
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]] == [64, 64, 3]
    assert_same_as_torch(model, network, noise(3))


def test_a_grey_image_that_two_convolutions_read_is_seen_as_torch_sees_it():
    torch.manual_seed(1)
    network = new_network(NetworkConfig("repvgg_a0")).eval()
    assert_same_as_torch(float_onnx(network, InputSpec(64, 64, 1)), network, noise(1))


def test_exporting_leaves_the_network_as_it_was(trained_run):
    network, record = load_model(trained_run)
    float_onnx(network, record.input)
    again, _ = load_model(trained_run)
    found, expected = network.state_dict(), again.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
