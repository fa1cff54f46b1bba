"""How much a layer harms: its share of how far the scores move, and of how far the masks do."""

from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.sensitivity import harms

WEIGHTS = {"gate": 0.001, "draw": 1.0, "edge": 1.0}
IMAGES = [np.arange(100, dtype=np.uint8).reshape(1, 10, 10, 1)]


@pytest.fixture(scope="module")
def model():
    """A score by one convolution, and a mask that is the brighter of two others."""
    shape = ["N", "H", "W", 1]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        *(helper.make_node("Conv", ["planes", f"{n}.w"], [n], n) for n in WEIGHTS),
        helper.make_node("GlobalMaxPool", ["gate"], ["highest"]),
        helper.make_node("Flatten", ["highest"], ["score"]),
        helper.make_node("Max", ["draw", "edge"], ["drawn"]),
        helper.make_node("Cast", ["drawn"], ["mask"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("mask", TensorProto.UINT8, None),
        ],
        [
            numpy_helper.from_array(np.full((1, 1, 1, 1), value, np.float32), f"{name}.w")
            for name, value in WEIGHTS.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def scaled(model, factors, float_layers):
    """Stands for INT8: the weights of a layer that is not in float are so many times too large."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for constant in copied.graph.initializer:
        name = constant.name.removesuffix(".w")
        if name not in float_layers:
            values = numpy_helper.to_array(constant) * np.float32(factors[name])
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    return copied


def harms_of(model, factors):
    return harms(model, partial(scaled, model, factors), IMAGES, 0.3, fused=False)


def test_a_score_that_moves_a_little_counts_as_much_as_a_mask_that_moves_far(model):
    found = harms_of(model, {"gate": 1.1, "draw": 2.5, "edge": 1.0})
    assert found == {"gate": pytest.approx(1), "draw": pytest.approx(1), "edge": 0}


def test_layers_share_what_they_move_and_the_worst_comes_first(model):
    found = harms_of(model, {"gate": 1.0, "draw": 1.2, "edge": 2.5})
    assert list(found) == ["edge", "draw", "gate"]
    assert found["edge"] + found["draw"] == pytest.approx(1)
    assert found["gate"] == 0


def test_where_nothing_moves_no_layer_harms(model):
    assert set(harms_of(model, dict.fromkeys(WEIGHTS, 1.0)).values()) == {0.0}
