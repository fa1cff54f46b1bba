"""What a list of times has in common: its middle, its tail, and how unsteady it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Of `count` times in ms; `jitter` is how far, on average, one lies from the one before."""

    count: int
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float
    jitter: float


def spread_of(times_ms: Sequence[float]) -> Spread:
    """The spread of one or more times; a percentile is a time that was measured, as trtexec's is.

    Raises:
        ValueError: there is none.
    """
    if not times_ms:
        raise ValueError("no times to describe; expected one or more")
    times = np.asarray(times_ms, np.float64)
    p90, p95, p99 = np.percentile(times, (90, 95, 99), method="inverted_cdf")
    steps = np.abs(np.diff(times))
    found = (
        times.min(),
        times.mean(),
        np.median(times),
        p90,
        p95,
        p99,
        times.max(),
        steps.mean() if steps.size else 0.0,
    )
    return Spread(times.size, *(round(float(value), 4) for value in found))
