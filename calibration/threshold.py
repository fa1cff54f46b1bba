"""The gate's threshold with a promise: a bound on the misses, proven on samples that chose nothing.

A unit is a group of images of one object, since they are not independent; its score is that of
its worst defective image. Testing thresholds from low to high, each at level 1 - confidence, and
stopping at the first that fails (fixed-sequence testing), keeps the error of the whole at that
level.
"""

import math
from collections.abc import Sequence

import numpy as np

from runtime.errors import CalibrationError
from runtime.manifest import Guarantee


def miss_rate_bound(n_missed: int, n: int, confidence: float) -> float:
    """The one-sided upper bound of Clopper and Pearson (1934) on the rate behind k of n."""
    from scipy.stats import beta

    if n_missed >= n:
        return 1.0
    return float(beta.ppf(confidence, n_missed + 1, n - n_missed))


def units_needed(max_miss_rate: float, confidence: float) -> int:
    """How many units without a miss it takes: 299 for 1 % at 95 %.

    Raises:
        CalibrationError: a promise that no number of samples can prove.
    """
    _require_provable(max_miss_rate, confidence)
    return math.ceil(math.log1p(-confidence) / math.log1p(-max_miss_rate))


def promised_threshold(
    unit_scores: Sequence[float], max_miss_rate: float, confidence: float
) -> tuple[float, Guarantee] | None:
    """The largest threshold whose miss rate is proven to be at most `max_miss_rate`, or None.

    `unit_scores` holds the score of each defective unit. A unit is missed below the threshold, so
    the candidates are the scores themselves.

    Raises:
        CalibrationError: a promise that no number of samples can prove.
    """
    _require_provable(max_miss_rate, confidence)
    best = None
    scores = np.sort(np.asarray(unit_scores, np.float64))
    for threshold in np.unique(scores):
        n_missed = int(np.searchsorted(scores, threshold, side="left"))
        if miss_rate_bound(n_missed, len(scores), confidence) > max_miss_rate:
            break
        guarantee = Guarantee(max_miss_rate, confidence, len(scores), n_missed)
        best = float(threshold), guarantee
    return best


def review_limit(good_scores: Sequence[float], threshold: float, max_review_rate: float) -> float:
    """Below which open samples go to review: as high as the budget for good ones lets it be.

    `good_scores` are those of good samples; of n, int(max_review_rate * n) may be reviewed. Nothing
    is reviewed (0) where the budget is none; where it covers every good sample at or above
    `threshold`, the limit lies just above the highest of them.
    """
    opened = np.sort([score for score in good_scores if score >= threshold])
    allowed = int(max_review_rate * len(good_scores) + 1e-9)  # 0.29 * 100 is less than 29
    if not allowed or not opened.size:
        return 0.0
    if len(opened) <= allowed:
        return float(np.nextafter(opened[-1], math.inf))
    return float(opened[allowed])


def worst_by_group(scores: Sequence[float], groups: Sequence[str]) -> list[float]:
    """The lowest score of each group: the scores of the units."""
    worst: dict[str, float] = {}
    for score, group in zip(scores, groups, strict=True):
        worst[group] = min(score, worst.get(group, math.inf))
    return list(worst.values())


def _require_provable(max_miss_rate: float, confidence: float) -> None:
    for name, value in (("max-miss-rate", max_miss_rate), ("confidence", confidence)):
        if not 0 < value < 1:
            raise CalibrationError(
                f"--{name} {value}: expected above 0 and below 1, since no number of samples "
                "proves certainty; choose such as 0.01 at 0.95"
            )
