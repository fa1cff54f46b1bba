"""The linter: it finds each planted mistake, that one alone, and nothing in a good network."""

import re

import numpy as np
import onnx
import pytest
from networks import GOOD, OPSET, good
from onnx import TensorProto, helper

from export.lint import Severity, lint, lint_file
from runtime.errors import ModelError


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


def bias_int32_alone(net):
    bias_int32(net)
    del net.node("bias.back").input[2]


def weights_uint8(net):
    net.constants["first.w.uint8"] = np.zeros((4, 4, 3, 3), np.uint8)
    net.node("first.w.back").input[:] = ["first.w.uint8", net.constant("tenth", np.float32(0.1))]
    net.nodes.remove(net.node("first.w.int8"))


def uint8_inside(net):
    net.nodes.pop()
    net.add("Cast", ["last"], "bytes", to=TensorProto.UINT8)
    net.add("Transpose", ["bytes"], "turned", perm=[0, 1, 3, 2])
    net.add("Cast", ["turned"], "score", to=TensorProto.FLOAT)


def weights_by_input(net):
    for output in ("first.w.int8", "first.w.back"):
        net.node(output).attribute[0].i = 1


def weights_computed(net):
    net.nodes.insert(0, helper.make_node("Abs", ["first.w"], ["first.size"]))
    net.node("first").input[1] = "first.size"


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


def activation_by_one_in_brackets(net):
    net.constants["one.scale"] = np.full(1, 0.1, np.float32)
    net.constants["one.zero"] = np.zeros(1, np.int8)


def fewer_zeros_than_scales(net):
    net.constants["first.w.zero"] = np.int8(0)


def fewer_scales_than_channels(net):
    net.constants["first.w.scale"] = np.full(2, 0.01, np.float32)
    net.constants["first.w.zero"] = np.zeros(2, np.int8)


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
    bias_int32_alone: ("int32-bias", Severity.REJECTED),
    weights_uint8: ("zero-point-type", Severity.REJECTED),
    uint8_inside: ("uint8-inside", Severity.REJECTED),
    weights_by_input: ("weights-axis", Severity.FLOAT),
    weights_computed: ("data-only", Severity.FLOAT),
    scale_negative: ("scale-positive", Severity.REJECTED),
    scale_half: ("scale-type", Severity.REJECTED),
    scale_computed: ("scale-constant", Severity.REJECTED),
    image_not_cast: ("uint8-border", Severity.REJECTED),
    activation_by_channel: ("activation-per-channel", Severity.FLOAT),
    activation_by_one_in_brackets: ("activation-scale-shape", Severity.FLOAT),
    fewer_zeros_than_scales: ("scale-size", Severity.REJECTED),
    fewer_scales_than_channels: ("scale-size", Severity.REJECTED),
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


@pytest.mark.parametrize("net", GOOD, ids=range(len(GOOD)))
def test_nothing_is_found_in_what_others_may_write(net):
    assert lint(net.model()) == []


@pytest.mark.parametrize("mistake", PLANTED, ids=lambda mistake: mistake.__name__)
def test_a_planted_mistake_is_found_and_no_other(mistake):
    found = {(finding.rule, finding.severity) for finding in lint(planted(mistake))}
    assert found == {PLANTED[mistake]}


def test_a_cast_alone_reads_a_uint8_output():
    net = good()
    net.add("Cast", ["last"], "drawn", to=TensorProto.UINT8)
    for kind in ("Cast", "Transpose"):
        attributes = {"to": TensorProto.FLOAT} if kind == "Cast" else {}
        net.add(kind, ["drawn"], f"more {kind}", **attributes)
    model = net.model()
    drawn = helper.make_tensor_value_info("drawn", TensorProto.UINT8, [1, 1, 16, 16])
    model.graph.output.append(drawn)
    assert [(f.rule, f.node) for f in lint(model)] == [("uint8-border", "Transpose.more Transpose")]


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
    net.constants["one.zero"] = np.zeros(1 if attribute == "value_float" else 4, np.int8)
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


def test_an_opset_is_too_high_for_some_releases_alone(tmp_path):
    model = good(opset=19).model()
    path = tmp_path / "net.onnx"
    for domain in ("", "ai.onnx"):
        model.opset_import[0].domain = domain
        onnx.save(model, path)
        assert lint_file(path, "10") == []
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


@pytest.mark.parametrize("net", [good(), *GOOD], ids=range(1 + len(GOOD)))
def test_nvidia_takes_a_good_network_in_int8(built_by_nvidia, net):
    assert kinds_of(built_by_nvidia(net.model().SerializeToString())) == {"Int8"}


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
