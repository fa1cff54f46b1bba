"""TensorRT's calibration cache: implicit INT8 and the DLA take their ranges from it (10 and older).

Text: a header with the release, then `tensor: hex`, the big-endian float32 of the scale amax / 127.
"""

import struct
from collections.abc import Mapping

from runtime.errors import CalibrationError

CACHE_FILE = "calibration.cache"
HEADER = "TRT-{}-EntropyCalibration2"
RELEASE = 100300  # of JetPack 6.2; `of_release` puts another here
LARGEST = 127  # of symmetric INT8


def calibration_cache(ranges: Mapping[str, tuple[float, float]], release: int = RELEASE) -> str:
    """The text of the cache for tensors of these (lowest, highest).

    Raises:
        CalibrationError: a name that the format cannot hold.
    """
    lines = [HEADER.format(release)]
    for name, (lowest, highest) in ranges.items():
        if ": " in name or "\n" in name:
            raise CalibrationError(f"{name!r}: a calibration cache cannot hold this tensor name")
        scale = max(abs(lowest), abs(highest), 1e-6) / LARGEST
        lines.append(f"{name}: {struct.pack('>f', scale).hex()}")
    return "\n".join(lines) + "\n"


def of_release(cache: str, version: tuple[int, ...]) -> str:
    """The same cache for TensorRT of this version: it takes no other release's."""
    major, minor, patch = version[:3]
    release = major * (10000 if major >= 10 else 1000) + minor * 100 + patch  # noqa: PLR2004
    return "\n".join([HEADER.format(release), *cache.splitlines()[1:]]) + "\n"
