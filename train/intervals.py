"""How far a number of a test set may be from the truth: 95 % intervals."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from train.metrics import Outcome

Interval: TypeAlias = tuple[float, float]
Floats: TypeAlias = npt.NDArray[np.float64]
# A number of a test set, by how often each of its samples was drawn.
Statistic: TypeAlias = Callable[[Floats], float]

CONFIDENCE = 0.95
DRAWS = 1000
SEED = 0


def share_interval(n_hits: int, n: int) -> Interval | None:
    """The two-sided interval of Clopper and Pearson (1934) for the rate behind `n_hits` of `n`.

    None for 0 of 0. It takes the samples for independent: where several show one object, the rate
    of objects is the one to look at.
    """
    from scipy.stats import beta

    if n == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    low = beta.ppf(tail, n_hits, n - n_hits + 1) if n_hits else 0.0
    high = beta.ppf(1 - tail, n_hits + 1, n - n_hits) if n_hits < n else 1.0
    return float(low), float(high)


def share_intervals(outcomes: Sequence[Outcome]) -> dict[str, Interval | None]:
    """The intervals of the gate's shares, by the names in result files."""
    caught = [o.opened for o in outcomes if o.defective]
    rejected = [o.opened for o in outcomes if not o.defective]
    drawn = [o for o in outcomes if o.drawn and o.raw.true_px]
    n_drawn = len(drawn)
    return {
        "recall": share_interval(sum(caught), len(caught)),
        "false_reject_rate": share_interval(sum(rejected), len(rejected)),
        "seg_recall": share_interval(sum(o.raw.predicted_px > 0 for o in drawn), n_drawn),
        "gated_seg_recall": share_interval(sum(o.gated.predicted_px > 0 for o in drawn), n_drawn),
    }


def bootstrap_intervals(outcomes: Sequence[Outcome]) -> dict[str, Interval | None]:
    """The intervals of Seg_mIoU, AP and AUROC, by the names in result files.

    None for a single group, and where all draws agree, as when the ranking is perfect: the
    bootstrap then cannot say how far off it is.
    """
    return {name: middle(values) for name, values in bootstrap(outcomes).items()}


def difference_intervals(
    outcomes: Sequence[Outcome], others: Sequence[Outcome]
) -> dict[str, Interval | None]:
    """Those of one model's numbers less another's, on the same samples in the same order.

    What makes a draw hard is hard for both, so they are narrower than two intervals beside each
    other; a difference whose interval holds 0 may be one of the samples alone.
    """
    of_others = bootstrap(others)
    return {name: middle(values - of_others[name]) for name, values in bootstrap(outcomes).items()}


def bootstrap(outcomes: Sequence[Outcome]) -> dict[str, Floats]:
    """Seg_mIoU, AP and AUROC on each draw (1000,), by the names in result files.

    The percentile bootstrap of Efron (1979), over whole groups, since images of one object are not
    independent: 1000 sets of as many groups, drawn with a fixed seed, so the same for all models.
    NaN where a draw has no number, such as one without a good sample, and with a single group.
    """
    statistics = {
        "seg_miou": _mean_iou([o.raw.iou if o.drawn else np.nan for o in outcomes]),
        "gated_seg_miou": _mean_iou([o.gated.iou if o.drawn else np.nan for o in outcomes]),
        "image_ap": _ranking(outcomes, weighted_ap),
        "image_auroc": _ranking(outcomes, weighted_auroc),
    }
    _, group_of = np.unique([o.group for o in outcomes], return_inverse=True)
    n_groups = int(group_of.max(initial=-1)) + 1
    if n_groups < 2:  # noqa: PLR2004 - one says nothing of another
        return dict.fromkeys(statistics, np.full(DRAWS, np.nan))
    rng = np.random.default_rng(SEED)
    counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), DRAWS)
    return {
        name: np.array([statistic(draw[group_of].astype(np.float64)) for draw in counts])
        for name, statistic in statistics.items()
    }


def middle(values: Floats) -> Interval | None:
    """What 95 % of the draws lie between; those that are NaN are left out.

    None where there are none, or all agree.
    """
    known = values[np.isfinite(values)]
    if len(np.unique(known)) < 2:  # noqa: PLR2004 - all agree
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def weighted_ap(good: Floats, defective: Floats) -> float:
    """Average precision: how many good and defective samples have each score, the highest first."""
    reached = np.cumsum(defective)
    precision = reached / np.maximum(reached + np.cumsum(good), 1)
    return _ratio(float(defective @ precision), float(defective.sum()))


def weighted_auroc(good: Floats, defective: Floats) -> float:
    """Area under the ROC, from the same counts: pairs in the right order, equal ones half."""
    lower = good.sum() - np.cumsum(good)
    return _ratio(float(defective @ (lower + good / 2)), float(defective.sum() * good.sum()))


def _mean_iou(ious: Sequence[float]) -> Statistic:
    """Seg_mIoU of the samples whose IoU is a number."""
    values = np.asarray(ious, np.float64)
    known = np.isfinite(values)
    return lambda draw: _ratio(float(draw[known] @ values[known]), float(draw[known].sum()))


def _ranking(outcomes: Sequence[Outcome], of: Callable[[Floats, Floats], float]) -> Statistic:
    """`of` the counts of good and of defective samples at each score, the highest first."""
    levels, level = np.unique([-o.score for o in outcomes], return_inverse=True)
    defective = np.asarray([o.defective for o in outcomes], np.float64)

    def statistic(draw: Floats) -> float:
        n = np.asarray(np.bincount(level, draw, len(levels)), np.float64)
        n_defective = np.asarray(np.bincount(level, draw * defective, len(levels)), np.float64)
        return of(n - n_defective, n_defective)

    return statistic


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan
