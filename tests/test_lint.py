"""The linter: it finds each planted mistake, that one alone, and nothing in a good network."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.lint import Severity, lint, lint_file
from runtime.errors import ModelError

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


def zero_not_0(net):
    net.constants["one.zero"] = np.int8(3)


def zero_uint8(net):
    net.constants["one.zero"] = np.uint8(0)


def bias_int32(net):
    net.constant("bias", np.zeros(4, np.int32))
    parts = [net.constant("b.scale", np.float32(1)), net.constant("b.zero", np.int32(0))]
    node = helper.make_node("DequantizeLinear", ["bias", *parts], ["bias.back"], name="bias")
    net.nodes.insert(0, node)
    net.node("first").input.append("bias.back")


def scale_negative(net):
    net.constants["one.scale"] = np.float32(-0.1)


def scale_half(net):
    net.constants["one.scale"] = np.float16(0.1)


def scale_computed(net):
    del net.constants["one.scale"]
    net.nodes.insert(1, helper.make_node("ReduceMax", ["pixels"], ["one.scale"], keepdims=0))


def image_not_cast(net):
    net.nodes[0].input[0] = "turned"
    net.nodes.insert(0, helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 1, 3, 2]))


def activation_by_channel(net):
    net.constants["one.scale"] = np.full(4, 0.1, np.float32)
    net.constants["one.zero"] = np.zeros(4, np.int8)


def weights_alone(net):
    net.node("first").input[0] = "pixels"


def data_alone(net):
    net.node("first").input[1] = "first.w"


def residual_both(net):
    net.pair("second")
    net.nodes.insert(net.nodes.index(net.node("sum")), net.nodes.pop())
    net.nodes.insert(net.nodes.index(net.node("sum")) - 1, net.nodes.pop())
    net.node("sum").input[0] = "second.back"


def concat_scales(net):
    net.constants["wide.scale"] = np.float32(0.2)


def sigmoid_quantised(net):
    last = net.nodes.pop()
    net.pair("last")
    last.input[0] = "last.back"
    net.nodes.append(last)


def resize_linear(net):
    net.node("large").attribute[0].s = b"linear"


def before_the_activation(net):
    relu = net.node("one")
    place = net.nodes.index(relu)
    net.pair("first")
    net.nodes[place:place] = [net.nodes.pop(-2), net.nodes.pop(-1)]
    relu.input[0] = "first.back"


PLANTED = {
    zero_not_0: ("zero-point-zero", Severity.REJECTED),
    zero_uint8: ("zero-point-type", Severity.REJECTED),
    bias_int32: ("int32-bias", Severity.REJECTED),
    scale_negative: ("scale-positive", Severity.REJECTED),
    scale_half: ("scale-type", Severity.REJECTED),
    scale_computed: ("scale-constant", Severity.REJECTED),
    image_not_cast: ("uint8-input", Severity.REJECTED),
    activation_by_channel: ("activation-per-channel", Severity.FLOAT),
    weights_alone: ("weights-only", Severity.FLOAT),
    data_alone: ("data-only", Severity.FLOAT),
    residual_both: ("residual-both", Severity.SLOW),
    concat_scales: ("concat-scales", Severity.SLOW),
    sigmoid_quantised: ("float-operator", Severity.SLOW),
    resize_linear: ("float-operator", Severity.SLOW),
    before_the_activation: ("before-activation", Severity.SLOW),
}


def planted(mistake):
    net = good()
    mistake(net)
    return net.model()


def test_nothing_is_found_in_a_good_network():
    model = good().model()
    onnx.checker.check_model(model, full_check=True)
    assert lint(model) == []


@pytest.mark.parametrize("mistake", PLANTED, ids=lambda mistake: mistake.__name__)
def test_a_planted_mistake_is_found_and_no_other(mistake):
    found = {(finding.rule, finding.severity) for finding in lint(planted(mistake))}
    assert found == {PLANTED[mistake]}


def test_a_mistake_is_told_with_its_node_and_its_mend():
    (finding, _) = lint(planted(zero_not_0))
    assert str(finding) == (
        "rejected: QuantizeLinear.one.int8: its zero point is not 0; quantise symmetrically "
        "[zero-point-zero]"
    )


@pytest.mark.parametrize("attribute", ["value_float", "value_floats"])
def test_a_constant_in_any_form_is_a_constant(attribute):
    net = good()
    del net.constants["one.scale"]
    value = 0.1 if attribute == "value_float" else [0.1] * 4
    constant = helper.make_node("Constant", [], ["one.scale"], **{attribute: value})
    net.nodes.insert(0, constant)
    found = [finding.rule for finding in lint(net.model())]
    assert found == ([] if attribute == "value_float" else ["activation-per-channel"] * 2)


def test_a_constant_may_be_quantised_whatever_its_form():
    net = good()
    weights = net.constants.pop("last.w")
    net.nodes.insert(0, helper.make_node("Constant", [], ["flat"], value_floats=weights.ravel()))
    net.constant("shape", np.array(weights.shape, np.int64))
    net.nodes.insert(1, helper.make_node("Reshape", ["flat", "shape"], ["last.w"]))
    assert lint(net.model()) == []


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_a_product_whose_data_alone_are_quantised_is_found(kind):
    net = good()
    net.add("Flatten", [net.pair("last")], "flat")
    net.pair("flat")
    net.constant("weights", np.ones((256, 2), np.float32))
    net.add(kind, ["flat.back", "weights"], "product")
    assert ("data-only", f"{kind}.product") in {(f.rule, f.node) for f in lint(net.model())}


@pytest.mark.parametrize(("domain", "rules"), [("TRT", []), ("com.microsoft", ["domain"])])
def test_a_plugin_may_be_there_and_a_foreign_operator_may_not(domain, rules):
    net = good()
    net.nodes.append(helper.make_node("Special", ["score"], ["more"], domain=domain))
    assert [finding.rule for finding in lint(net.model())] == rules


def test_an_operator_may_be_a_function_of_the_network():
    net = good()
    net.nodes[-1].CopyFrom(helper.make_node("Mine", ["last"], ["score"], domain="pkg.mine"))
    model = net.model()
    model.opset_import.append(helper.make_opsetid("pkg.mine", 1))
    assert [finding.rule for finding in lint(model)] == ["domain"]
    sigmoid = helper.make_node("Sigmoid", ["x"], ["y"])
    opset = [helper.make_opsetid("", OPSET)]
    function = helper.make_function("pkg.mine", "Mine", ["x"], ["y"], [sigmoid], opset)
    model.functions.append(function)
    assert lint(model) == []


def constant_of_another_domain(net):
    net.nodes.insert(0, helper.make_node("Constant", [], ["more"], domain="mine"))


def plugin_without_a_domain(net):
    net.nodes.append(helper.make_node("EfficientNMS_TRT", ["score"], ["boxes"]))


def quantise_of_another_domain(net):
    net.nodes.append(helper.make_node("QuantizeLinear", ["score"], ["more"], domain="trt"))


def scale_behind_identity(net):
    net.constants["shared"] = net.constants.pop("one.scale")
    net.nodes.insert(0, helper.make_node("Identity", ["shared"], ["one.scale"]))


def scale_of_words(net):
    net.constants["one.scale"] = np.array("a tenth", object)


def constant_without_a_value(net):
    net.nodes.insert(0, helper.make_node("Constant", [], ["more"]))


@pytest.mark.parametrize(
    ("odd", "rules"),
    [
        (constant_of_another_domain, []),
        (plugin_without_a_domain, []),
        (quantise_of_another_domain, []),
        (scale_behind_identity, []),
        (scale_of_words, ["scale-type", "scale-type"]),
        (constant_without_a_value, None),
    ],
)
def test_an_odd_file_is_read_or_said_to_be_no_network(tmp_path, odd, rules):
    path = tmp_path / "net.onnx"
    onnx.save(planted(odd), path)
    if rules is None:
        with pytest.raises(ModelError, match=r"net\.onnx: is no valid ONNX file"):
            lint_file(path, "10")
    else:
        assert [finding.rule for finding in lint_file(path, "10")] == rules


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-1]),
        lambda tensor: setattr(tensor, "data_type", 99),
        lambda tensor: tensor.dims.append(3),
    ],
    ids=["cut off", "no type", "no shape"],
)
def test_a_spoilt_constant_is_no_network(tmp_path, spoil):
    model = good().model()
    spoil(next(t for t in model.graph.initializer if t.name == "last.w"))
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx: is no valid ONNX file"):
        lint_file(tmp_path / "net.onnx", "10")


def test_an_opset_is_too_high_for_some_releases_alone():
    model = good(opset=19).model()
    for domain in ("", "ai.onnx"):
        model.opset_import[0].domain = domain
        assert [finding.rule for finding in lint(model, "8.6")] == ["opset"]
        assert lint(model, "10") == []


def test_branches_are_found():
    net = good()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["last"], ["kept"])],
        "branch",
        [],
        [helper.make_tensor_value_info("kept", TensorProto.FLOAT, None)],
    )
    net.constant("open", np.ones(1, bool))
    last = net.nodes.pop()
    net.add("If", ["open"], "chosen", then_branch=branch, else_branch=branch)
    last.input[0] = "chosen"
    net.nodes.append(last)
    assert [finding.rule for finding in lint(net.model())] == ["control-flow"]


def test_the_command_tells_every_finding_and_ends_with_3(defectgate, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(planted(weights_alone), path)
    done = defectgate("lint-onnx", path)
    assert done.returncode == 3
    assert done.stdout.startswith("float: Conv.first: its weights are quantised, its data are not")
    assert done.stderr == f"QualityError: {path}: 1 findings; each says its mend\n"
    onnx.save(good().model(), path)
    done = defectgate("lint-onnx", path)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_no_network_is_named(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"net\.onnx: is no valid ONNX file"):
        lint_file(path, "10")


def kinds_of(layers):
    """The numbers that convolutions read, by the builder's layers."""
    kernels = [line.partition("Constants")[0] for line in layers if "correlation" in line]
    return {kind for line in kernels for kind in re.findall(r"Inputs.*?Datatype: (\w+)", line)}


def test_nvidia_takes_the_good_network_in_int8(built_by_nvidia):
    assert kinds_of(built_by_nvidia(good().model().SerializeToString())) == {"Int8"}


@pytest.mark.parametrize(
    "mistake",
    [mistake for mistake in PLANTED if mistake is not scale_computed],  # crashes their parser
    ids=lambda mistake: mistake.__name__,
)
def test_nvidia_does_with_a_mistake_what_its_severity_says(built_by_nvidia, mistake):
    network = planted(mistake).SerializeToString()
    severity = PLANTED[mistake][1]
    if severity is Severity.REJECTED and mistake is not zero_uint8:  # which 1.7 takes for int8
        with pytest.raises(ValueError, match=r"."):
            built_by_nvidia(network)
    else:
        kinds = kinds_of(built_by_nvidia(network))
        assert ("Float" in kinds) == (severity is Severity.FLOAT)
