"""Activation ranges over the calibration images, by onnxruntime's calibrators."""

import contextlib
import io
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.settings import RangeMethod

SCHEMA = 1


@dataclass(frozen=True)
class Scales:
    """The content of `scales.json`: (lowest, highest) of each float tensor of `model.onnx`."""

    schema: int
    method: RangeMethod
    model_sha256: str
    calibration_digest: str
    ranges: dict[str, tuple[float, float]]


def activation_ranges(
    model: Path, images: Iterable[npt.NDArray[np.uint8]], method: RangeMethod
) -> dict[str, tuple[float, float]]:
    """(lowest, highest) by tensor of the float ONNX `model`, over `images` (N, H, W, C)."""
    quiet = contextlib.redirect_stdout(io.StringIO())  # onnxruntime prints a line an image
    with tempfile.TemporaryDirectory() as folder, quiet:
        calibrator = _calibrator(model, Path(folder) / "augmented.onnx", method)
        for image in images:
            calibrator.collect_data(_OneImage(image))
        tensors = calibrator.compute_data()
    return {name: _bounds(data.range_value) for name, data in sorted(tensors.items())}


class _OneImage:
    """Gives one input and then nothing: the reader that onnxruntime's calibrators pull from."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self._image: npt.NDArray[np.uint8] | None = image

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        image, self._image = self._image, None
        return None if image is None else {"image": image}


def _calibrator(model: Path, augmented: Path, method: RangeMethod) -> Any:
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    methods = {
        RangeMethod.MINMAX: (CalibrationMethod.MinMax, {}),
        RangeMethod.PERCENTILE: (
            CalibrationMethod.Percentile,
            {"num_bins": 2048, "percentile": 99.99},
        ),
        RangeMethod.ENTROPY: (CalibrationMethod.Entropy, {"num_bins": 2048}),
    }
    kind, options = methods[method]
    return create_calibrator(
        model, augmented_model_path=str(augmented), calibrate_method=kind, extra_options=options
    )


def _bounds(values: tuple[Any, Any]) -> tuple[float, float]:
    lowest, highest = (float(np.asarray(value).reshape(())) for value in values)
    return min(lowest, 0.0), max(highest, 0.0)
