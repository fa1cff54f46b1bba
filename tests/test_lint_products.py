"""The linter on matrix products: data and weights are quantised both, along the right axis."""

import numpy as np
import pytest
from networks import good

from export.lint import lint


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_a_product_whose_data_alone_are_quantised_is_found(kind):
    net = good()
    net.add("Flatten", [net.pair("last")], "flat")
    net.pair("flat")
    net.constant("weights", np.ones((256, 2), np.float32))
    net.add(kind, ["flat.back", "weights"], "product")
    assert ("data-only", f"{kind}.product") in {(f.rule, f.node) for f in lint(net.model())}


@pytest.mark.parametrize(
    ("kind", "attributes", "axis"), [("MatMul", {}, 1), ("Gemm", {}, 1), ("Gemm", {"transB": 1}, 0)]
)
def test_scales_along_the_channels_that_a_product_reads_are_found(kind, attributes, axis):
    for along in (0, 1):
        net = good()
        net.add("Flatten", [net.pair("last")], "flat")
        net.pair("flat")
        net.constant("weights", np.ones((256, 256), np.float32))
        net.pair("weights", np.full(256, 0.01))
        for output in ("weights.int8", "weights.back"):
            net.node(output).attribute[0].i = along
        net.add(kind, ["flat.back", "weights.back"], "product", **attributes)
        found = {(f.rule, f.node) for f in lint(net.model())}
        assert (("weights-axis", f"{kind}.product") in found) == (along != axis)
