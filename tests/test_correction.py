"""The mean of each channel of a convolution in INT8 is that in float."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.correction import corrected, shifts_of
from export.qdq import convolutions
from export.renderings import CPU, TENSORRT

KINDS = pytest.mark.parametrize("kind", [CPU, TENSORRT], ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def model(int8_bundle):
    return onnx.load(int8_bundle / "model.onnx")


@pytest.fixture(scope="module")
def ranges(int8_bundle):
    return json.loads((int8_bundle / "scales.json").read_bytes())["ranges"]


@pytest.fixture(scope="module")
def images(six_images):
    """Two samples, of one tile and of five."""
    return [six_images[:1], six_images[1:]]


def biases(model):
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    return {n.name: constants[n.input[2]] for n in model.graph.node if n.op_type == "Conv"}


def total(shifts):
    return sum(np.abs(shift).sum() for shift in shifts.values())


@KINDS
def test_little_is_left_of_the_shifts_once_they_are_taken_back(kind, model, ranges, images):
    """In onnxruntime's rendering a scale of weights may hang on the bias, so not quite nothing."""

    def quantize(network):
        return kind.quantize(network, ranges, ())

    shifts = shifts_of(model, quantize, images)
    assert list(shifts) == convolutions(model)
    left = shifts_of(model, lambda network: quantize(corrected(network, shifts, ())), images)
    assert total(left) < 0.05 * total(shifts)


def test_a_shift_is_how_far_the_mean_of_a_channel_moves(model, images):
    """By a rounding that adds one to a bias of the first convolution."""
    first = convolutions(model)[0]

    def brighter(network):
        return corrected(network, {first: -np.eye(len(biases(model)[first]))[0]}, ())

    shifts = shifts_of(model, brighter, images)
    assert shifts[first] == pytest.approx(np.eye(len(shifts[first]))[0], abs=1e-5)
    assert total({name: shift for name, shift in shifts.items() if name != first}) == 0


def test_a_float_layer_keeps_its_bias_and_another_loses_its_shift(model):
    shifts = {name: np.full(len(bias), 0.5) for name, bias in biases(model).items()}
    kept = convolutions(model)[3]
    before, after = biases(model), biases(corrected(model, shifts, [kept]))
    for name, bias in after.items():
        assert bias == pytest.approx(before[name] - (0.0 if name == kept else 0.5), abs=1e-6)


def test_a_bias_that_two_layers_share_is_corrected_for_each(model):
    shared = onnx.ModelProto()
    shared.CopyFrom(model)
    same = [n for n in shared.graph.node if n.op_type == "Conv"]
    of_size = {len(bias): [] for bias in biases(model).values()}
    for node in same:
        of_size[len(biases(model)[node.name])].append(node)
    one, other = next(nodes[:2] for nodes in of_size.values() if len(nodes) > 1)
    other.input[2] = one.input[2]
    size = len(biases(shared)[one.name])
    found = biases(corrected(shared, {one.name: np.ones(size), other.name: -np.ones(size)}, ()))
    assert found[other.name] - found[one.name] == pytest.approx(np.full(size, 2.0), abs=1e-5)
