"""The calibration cache as TensorRT reads it."""

import numpy as np
import pytest

from export.cache import calibration_cache
from runtime.errors import CalibrationError


def test_a_scale_is_the_big_endian_float32_of_the_largest_magnitude_over_127():
    text = calibration_cache({"image": (0.0, 0.05 * 127), "/encoder/Conv": (-254.0, 3.0)})
    assert text == "TRT-100300-EntropyCalibration2\nimage: 3d4ccccd\n/encoder/Conv: 40000000\n"
    number = np.frombuffer(bytes.fromhex("3d4ccccd"), ">f4")[0]
    assert number == pytest.approx(0.05)


def test_a_tensor_that_was_never_seen_has_a_scale_above_0():
    assert calibration_cache({"x": (0.0, 0.0)}, 8601).splitlines() == [
        "TRT-8601-EntropyCalibration2",
        f"x: {np.array(1e-6 / 127, '>f4').tobytes().hex()}",
    ]


def test_a_name_that_would_break_a_line_is_refused():
    with pytest.raises(CalibrationError, match="cannot hold this tensor name"):
        calibration_cache({"a: b": (0.0, 1.0)})
