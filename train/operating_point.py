"""Where to open the gate and where to cut the mask, chosen on validation samples."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAX_FALSE_REJECTS = 0.05


def best_recall_threshold(
    scores: npt.ArrayLike, defective: npt.ArrayLike, max_false_rejects: float = MAX_FALSE_REJECTS
) -> float:
    """The threshold with the best recall at no more than `max_false_rejects` of the good samples.

    scores (n,) in [0, 1], defective (n,) bool, both labels present. Many thresholds have that
    recall, all those between the highest good score below and the lowest defective one that is
    caught. Taken is the first quarter of that gap, in log-odds: a miss costs more than a false
    reject.
    """
    values, labels = np.asarray(scores, np.float64), np.asarray(defective, bool)
    good = np.sort(values[~labels])[::-1]
    first_accepted = good[int(max_false_rejects * len(good))]
    caught = values[labels & (values > first_accepted)]
    if not caught.size:
        return float(np.nextafter(first_accepted, 2.0))
    lowest_caught = caught.min()
    highest_good = good[good < lowest_caught].max()
    threshold = _probability(0.75 * _log_odds(highest_good) + 0.25 * _log_odds(lowest_caught))
    return float(np.clip(threshold, np.nextafter(highest_good, 1.0), lowest_caught))


def mask_limit_candidates(smallest_defect_px: float) -> Sequence[tuple[float, float]]:
    """(mask threshold, minimum area in pixels) to choose from.

    No minimum area exceeds half of the smallest known defect.
    """
    return [
        (threshold, share * smallest_defect_px)
        for share in (0.0, 0.25, 0.5)
        for threshold in (0.5, 0.4, 0.6, 0.3, 0.7)
    ]


def _log_odds(probability: float) -> float:
    bounded = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(np.log(bounded / (1 - bounded)))


def _probability(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))
