"""The work of a network: multiply-adds and bytes, counted by hand and by hooks."""

import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from export.float_onnx import float_onnx, part_of
from export.work import work_of
from runtime.spec import InputSpec
from train.checkpoint import new_network
from train.network import NetworkConfig


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "resnet18"])
def test_work_is_what_hooks_on_the_layers_count(encoder):
    torch.manual_seed(0)
    network = new_network(NetworkConfig(encoder)).eval()
    network.fold_grey()
    counted = {"multiply_adds": 0, "values": 0}

    def count(layer, inputs, output):
        places = output[0, 0].numel() if output.ndim == 4 else 1
        counted["multiply_adds"] += layer.weight.numel() * places
        counted["values"] += inputs[0].numel() + layer.weight.numel() + output.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 96, 64, 1, dtype=torch.uint8))
    fresh = new_network(NetworkConfig(encoder)).eval()
    model = part_of(float_onnx(fresh, InputSpec(64, 96, 1)), ["image"], ["score", "mask"])
    work = work_of(model, 4)
    assert work.multiply_adds == counted["multiply_adds"]
    assert work.bytes == 4 * counted["values"]


def test_a_product_of_any_rank_is_counted():
    sides = {"a": (2, 64, 256), "b": (256, 32), "c": (2, 64, 32)}
    a, b, c = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in sides.items())
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "g", [a, b], [c])
    work = work_of(helper.make_model(graph), 4)
    assert work.multiply_adds == 2 * 64 * 256 * 32
    assert work.bytes == 4 * (2 * 64 * 256 + 256 * 32 + 2 * 64 * 32)
