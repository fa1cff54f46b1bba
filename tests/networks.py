"""Small Q/DQ networks under construction."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Net:
    """A small network under construction: constants and nodes by name."""

    def __init__(self, opset=OPSET):
        self.constants = {}
        self.nodes = []
        self.opset = opset

    def constant(self, name, value):
        """A tensor's value; gives its name."""
        self.constants[name] = np.asarray(value)
        return name

    def add(self, kind, inputs, output, **attributes):
        """A node with one output; gives that."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}.{output}"))
        self.nodes[-1].attribute.extend(helper.make_attribute(*a) for a in attributes.items())
        return output

    def pair(self, name, scale=0.1):
        """Q and DQ behind a tensor; gives the dequantised one."""
        parts = [self.constant(f"{name}.scale", np.float32(scale))]
        parts.append(self.constant(f"{name}.zero", np.zeros(np.shape(scale), np.int8)))
        axis = {"axis": 0} if np.shape(scale) else {}
        self.add("QuantizeLinear", [name, *parts], f"{name}.int8", **axis)
        return self.add("DequantizeLinear", [f"{name}.int8", *parts], f"{name}.back", **axis)

    def conv(self, data, name):
        """A convolution of 4 channels into 4, its weights quantised."""
        weights = self.constant(f"{name}.w", np.full((4, 4, 3, 3), 0.1, np.float32))
        self.pair(weights, np.full(4, 0.01))
        inputs = [data, f"{weights}.back"]
        return self.add("Conv", inputs, name, pads=[1, 1, 1, 1], kernel_shape=[3, 3])

    def node(self, output):
        """The node that makes a tensor."""
        return next(node for node in self.nodes if output in node.output)

    def model(self):
        """The network."""
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 4, 8, 8])
        score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1, 16, 16])
        values = [numpy_helper.from_array(v, name) for name, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "net", [image], [score], values)
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def good(opset=OPSET):
    """Conv, residual, Resize and Concat, as our own placement has them."""
    net = Net(opset)
    net.add("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    net.pair("pixels")
    net.add("Relu", [net.conv("pixels.back", "first")], "one")
    net.pair("one")
    net.conv("one.back", "second")
    net.add("Add", ["second", "one.back"], "sum")
    net.pair("sum")
    net.constant("sizes", np.array([1, 1, 2, 2], np.float32))
    net.add("Resize", ["sum.back", "", "sizes"], "large", mode="nearest")
    net.pair("large")
    net.add("Resize", ["one.back", "", "sizes"], "wide", mode="nearest")
    net.pair("wide")
    net.add("Concat", ["large.back", "wide.back"], "both", axis=1)
    net.pair("both")
    weights = net.constant("last.w", np.full((1, 8, 1, 1), 0.1, np.float32))
    net.pair(weights, np.full(1, 0.01))
    net.add("Conv", ["both.back", "last.w.back"], "last")
    net.add("Sigmoid", ["last"], "score")
    return net


def passed_on(kind, before, *parameters, **attributes):
    """A good network where an operator passes on what the second convolution reads."""
    net = good()
    node = net.node("second")
    place = [*node.input].index(before)
    names = [net.constant(f"parameter {n}", np.int64(value)) for n, value in enumerate(parameters)]
    made = helper.make_node(kind, [before, *names], ["passed"], **attributes)
    net.nodes.insert(net.nodes.index(node), made)
    node.input[place] = "passed"
    return net


PASSED_ON = [
    passed_on(kind, tensor, **how)
    for kind, how in (
        ("Identity", {}),
        ("Cast", {"to": TensorProto.FLOAT}),
        ("Transpose", {"perm": [0, 1, 3, 2]}),
        ("MaxPool", {"kernel_shape": [1, 1]}),
    )
    for tensor in ("one.back", "second.w.back")
    if (kind, tensor) != ("MaxPool", "second.w.back")
]


PASSED_ON += [
    passed_on("Slice", "one.back", [0], [8], [3]),
    passed_on("Pad", "one.back", [0] * 8),
]


def without_an_axis_for_a_while():
    net = passed_on("Unsqueeze", "one.back", [0])
    net.constant("first axis", np.int64([0]))
    squeezed = helper.make_node("Squeeze", ["one.back", "first axis"], ["squeezed"])
    net.nodes.insert(net.nodes.index(net.node("passed")), squeezed)
    net.node("passed").input[0] = "squeezed"
    return net


def concatenated_in_one_scale():
    net = good()
    net.node("last").input[0] = "both"
    for output in ("both.int8", "both.back"):
        net.nodes.remove(net.node(output))
    return net


def weights_computed_of_constants():
    net = good()
    net.constants["raw"] = net.constants.pop("first.w")
    net.constant("share", np.ones((4, 1, 1, 1), np.float32))
    net.nodes.insert(0, helper.make_node("Transpose", ["raw"], ["turned"], perm=[1, 0, 2, 3]))
    net.nodes.insert(1, helper.make_node("Mul", ["turned", "share"], ["first.w"]))
    return net


def axis_from_the_end():
    net = good()
    for output in ("first.w.int8", "first.w.back"):
        net.node(output).attribute[0].i = -4
    return net


def bytes_that_are_constant():
    net = good()
    value = numpy_helper.from_array(np.full((1, 1, 1, 1), 2, np.uint8))
    net.nodes[:0] = [helper.make_node("Constant", [], ["two"], value=value)]
    net.nodes[1:1] = [helper.make_node("Cast", ["two"], ["twice"], to=TensorProto.FLOAT)]
    net.nodes[-1].input[0] = "doubled"
    net.nodes.insert(-1, helper.make_node("Mul", ["last", "twice"], ["doubled"]))
    return net


# What TensorRT takes in INT8 too.
GOOD = [
    *PASSED_ON,
    without_an_axis_for_a_while(),
    concatenated_in_one_scale(),
    weights_computed_of_constants(),
    axis_from_the_end(),
    bytes_that_are_constant(),
]
