"""What can go wrong, as one tree; the command line prints the message and exits with the status.

DefectgateError                 exit status 1
├── DataError                   an image, a mask, a split or a dataset folder
├── ModelError                  a training run: model.json, model.safetensors, the encoder
├── CalibrationError            calibration.json, scales.json, a choice that cannot be made
├── ManifestError               a bundle: manifest.json or a file that it lists
├── EngineError                 a network that cannot be loaded or run
│   └── GpuLostError            a GPU that this process cannot use any more
├── SourceError                 a camera, video file or folder that cannot be opened or read
└── QualityError                exit status 3: refused, since the result is not good enough
"""

import sys
from contextlib import suppress


class DefectgateError(Exception):
    """Says in one line what, where, what was expected, what came, and how to mend it."""

    exit_status = 1


class DataError(DefectgateError):
    """An image, a mask, a split or a dataset folder is not what it should be."""


class ModelError(DefectgateError):
    """A training run cannot be made or read."""


class CalibrationError(DefectgateError):
    """A calibration file is wrong, or a choice cannot be made from the data."""


class ManifestError(DefectgateError):
    """A bundle's manifest or a file that it lists is wrong."""


class EngineError(DefectgateError):
    """A network cannot be loaded or run."""


class GpuLostError(EngineError):
    """After a fault this process cannot use the GPU any more; another one can."""


class SourceError(DefectgateError):
    """A camera, video file or folder of images cannot be opened or read."""


class QualityError(DefectgateError):
    """The result was measured and refused, since it is not good enough."""

    exit_status = 3


def say(text: str) -> None:
    """A line to whoever reads standard error; an inspection goes on where nobody can."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
