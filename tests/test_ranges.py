"""Activation ranges of what differs widely from image to image, by independent references."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

from calibration.ranges import activation_ranges
from calibration.settings import RangeMethod
from runtime.errors import CalibrationError

DIM = np.arange(2, dtype=np.uint8).repeat(128).reshape(1, 16, 16, 1)


def network(path, step, less=0.0):
    """A network that makes `found` of a pixel less `less`, by one `step`."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels", "less"], ["shifted"]),
        helper.make_node(step, ["shifted", "eight"] if step == "Pow" else ["shifted"], ["found"]),
    ]
    shape = ["N", "H", "W", 1]
    sides = [("image", TensorProto.UINT8), ("found", TensorProto.FLOAT)]
    image, found = (helper.make_tensor_value_info(name, kind, shape) for name, kind in sides)
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (("less", less), ("eight", 8.0))
    ]
    graph = helper.make_graph(nodes, "steep", [image], [found], constants)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def steep(tmp_path_factory):
    """The eighth power: a bright image gives 1e19 times what DIM does."""
    return network(tmp_path_factory.mktemp("steep") / "model.onnx", "Pow")


@pytest.fixture(scope="module")
def bright():
    """Up to 200, but for one pixel of 255."""
    image = np.random.default_rng(0).integers(0, 201, (1, 150, 150, 1), np.uint8)
    image[0, 3, 3] = 255
    return image


def test_percentiles_are_those_of_numpy_however_dim_the_first_image_is(steep, bright):
    images = [DIM, bright, bright]
    found = activation_ranges(steep, images, RangeMethod.PERCENTILE)
    pixels = np.concatenate([image.ravel() for image in images]).astype(float)
    for name, values in (("pixels", pixels), ("found", pixels**8)):
        highest = np.quantile(values, 0.9999)
        assert highest < 0.9 * values.max()
        assert found[name] == (0, pytest.approx(highest, abs=values.max() / 1000))


def test_entropy_is_that_of_onnxruntime_with_the_brightest_image_first(steep, bright, tmp_path):
    theirs = create_calibrator(
        steep,
        augmented_model_path=str(tmp_path / "augmented.onnx"),
        calibrate_method=CalibrationMethod.Entropy,
        extra_options={"num_bins": 2048},
    )
    for image in (bright, DIM):
        theirs.collect_data(SimpleNamespace(get_next=iter([{"image": image}, None]).__next__))
    expected = {
        name: (min(float(data.lowest), 0), float(data.highest))
        for name, data in theirs.compute_data().items()
    }
    assert expected["found"][1] < 255**8
    assert activation_ranges(steep, [DIM, bright], RangeMethod.ENTROPY) == expected


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
@pytest.mark.parametrize(
    ("step", "less", "said"), [("Log", 0.0, "-inf to 5.5"), ("Sqrt", 300.0, "nan to nan")]
)
@pytest.mark.parametrize("method", [RangeMethod.MINMAX, RangeMethod.PERCENTILE])
def test_what_is_no_number_is_refused_by_the_name_of_its_tensor(
    tmp_path, bright, step, less, said, method
):
    model = network(tmp_path / "model.onnx", step, less)
    with pytest.raises(CalibrationError, match=f"tensor found goes from {said}.*lower --learning"):
        activation_ranges(model, [bright], method)
