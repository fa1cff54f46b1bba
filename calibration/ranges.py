"""Activation ranges over the calibration images, by onnxruntime's calibrators."""

import contextlib
import io
import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.settings import RangeMethod
from runtime.errors import CalibrationError
from train.progress import progress

SCHEMA = 1
PERCENTILE = 99.99
BINS = 2048
Ranges = dict[str, tuple[float, float]]
Images = Iterable[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Scales:
    """The content of `scales.json`: (lowest, highest) of each float tensor of `model.onnx`."""

    schema: int
    method: RangeMethod
    model_sha256: str
    calibration_digest: str
    ranges: Ranges


def activation_ranges(model: Path, images: Images, method: RangeMethod) -> Ranges:
    """(lowest, highest) by tensor of the float ONNX `model`, over `images` (N, H, W, C).

    Except for minmax they are gone through twice.

    Raises:
        CalibrationError: a tensor held what is no number, or infinite.
    """
    quiet = contextlib.redirect_stdout(io.StringIO())  # onnxruntime prints a line an image
    with tempfile.TemporaryDirectory() as folder, quiet:
        augmented = Path(folder) / "augmented.onnx"
        widest = _widest(model, augmented, images)
        if method is RangeMethod.MINMAX:
            return widest
        return _narrowed(model, augmented, images, method, widest)


def _widest(model: Path, augmented: Path, images: Images) -> Ranges:
    """The least and the most that each tensor held."""
    calibrator = _calibrator(model, augmented, RangeMethod.MINMAX)
    for image in images:
        calibrator.collect_data(_OneImage(image))
    return _ranges_of(calibrator)


def _narrowed(
    model: Path,
    augmented: Path,
    images: Images,
    method: RangeMethod,
    widest: Ranges,
) -> Ranges:
    """What `method` makes of the histogram of each tensor."""
    calibrator = _calibrator(model, augmented, method)
    calibrator.collector = _empty_histograms(widest, method)
    for image in images:
        calibrator.collect_data(_OneImage(image))
    histograms = calibrator.collector.histogram_dict
    ranges: Ranges = {}
    for name in progress(sorted(histograms), "narrowing ranges"):
        calibrator.collector.histogram_dict = {name: histograms[name]}
        ranges |= _ranges_of(calibrator)
    return ranges


class _OneImage:
    """Gives one input and then nothing: the reader that onnxruntime's calibrators pull from."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self._image: npt.NDArray[np.uint8] | None = image

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        image, self._image = self._image, None
        return None if image is None else {"image": image}


def _calibrator(model: Path, augmented: Path, method: RangeMethod) -> Any:
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    kinds = {
        RangeMethod.MINMAX: CalibrationMethod.MinMax,
        RangeMethod.PERCENTILE: CalibrationMethod.Percentile,
        RangeMethod.ENTROPY: CalibrationMethod.Entropy,
    }
    return create_calibrator(
        model, augmented_model_path=str(augmented), calibrate_method=kinds[method]
    )


def _empty_histograms(widest: Ranges, method: RangeMethod) -> Any:
    """Histograms as wide as they need be: onnxruntime's keep the bin width of their first image.

    Where that image is a thousandth of another, there are a thousand times as many bins.
    """
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        method=method.value,
        symmetric=method is RangeMethod.PERCENTILE,
        num_bins=BINS,
        num_quantized_bins=128,
        percentile=PERCENTILE,
        scenario="same",
    )
    collector.collect(
        {name: np.array([low, 0, high], np.float32) for name, (low, high) in widest.items()}
    )
    for counts, *_ in collector.histogram_dict.values():
        counts[:] = 0
    return collector


def _ranges_of(calibrator: Any) -> Ranges:
    tensors = calibrator.compute_data().items()
    return {name: _bounds(name, data.range_value) for name, data in sorted(tensors)}


def _bounds(name: str, values: tuple[Any, Any]) -> tuple[float, float]:
    lowest, highest = (float(np.asarray(value).reshape(())) for value in values)
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise CalibrationError(
            f"model.onnx: tensor {name} goes from {lowest} to {highest} on the calibration images, "
            "expected numbers; the training diverged, train again with a lower --learning-rate"
        )
    return min(lowest, 0.0), max(highest, 0.0)
