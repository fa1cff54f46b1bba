"""What can be set for a calibration."""

from dataclasses import dataclass
from enum import Enum


class RangeMethod(str, Enum):
    """How a tensor's range is taken from what it was seen to hold."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    AUTO = "auto"


FEWEST_IMAGES, MOST_IMAGES = 8, 64
METHODS = (RangeMethod.MINMAX, RangeMethod.PERCENTILE, RangeMethod.ENTROPY)


@dataclass(frozen=True)
class CalibrationSettings:
    """How many images, which share of them defective, and how ranges are taken."""

    images: int | None = None  # MOST_IMAGES, or as many as a smaller set has
    defect_share: float = 0.7
    method: RangeMethod = RangeMethod.MINMAX
