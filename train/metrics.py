"""Metrics of a joint model, sample by sample: every sample counts once, however large its defect.

G_i and P_i are the true and the predicted foreground of sample i, P_i after mask threshold and
minimum area. Raw P_i is what the decoder draws; gated P_i is empty where the gate is shut.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of one sample's truth G, prediction P and their intersection."""

    true_px: int
    predicted_px: int
    both_px: int

    @property
    def union_px(self) -> int:
        """|P | G|."""
        return self.true_px + self.predicted_px - self.both_px


@dataclass(frozen=True)
class Outcome:
    """What one sample was and what became of it."""

    name: str
    kind: str
    group: str
    defective: bool
    score: float
    opened: bool
    raw: Overlap
    gated: Overlap
    contrast: float


def overlap(true: npt.NDArray[np.uint8], predicted: npt.NDArray[np.bool_]) -> Overlap:
    """Count pixels of two masks of the same shape (H, W)."""
    truth = true > 0
    return Overlap(
        int(np.count_nonzero(truth)),
        int(np.count_nonzero(predicted)),
        int(np.count_nonzero(truth & predicted)),
    )


def seg_miou(overlaps: Sequence[Overlap]) -> float:
    """Mean of |P & G| / |P | G| over the samples where either is not empty.

    A miss and a false alarm count 0; true negatives stay out. NaN where all are true negatives.
    """
    ratios = [o.both_px / o.union_px for o in overlaps if o.union_px > 0]
    return float(np.mean(ratios)) if ratios else math.nan


def seg_recall(overlaps: Sequence[Overlap], *, hit_overlaps: bool = False) -> float:
    """Share of defective samples with a non-empty P, or with `hit_overlaps` one that touches G."""
    hits = [(o.both_px if hit_overlaps else o.predicted_px) > 0 for o in overlaps if o.true_px > 0]
    return float(np.mean(hits)) if hits else math.nan


def pooled_miou(overlaps: Sequence[Overlap]) -> float:
    """Intersection over union of all pixels together: the usual one, which large defects rule."""
    union = sum(o.union_px for o in overlaps)
    return sum(o.both_px for o in overlaps) / union if union else math.nan


def false_reject_rate(outcomes: Sequence[Outcome]) -> float:
    """Share of good samples that the gate rejects."""
    rejected = [o.opened for o in outcomes if not o.defective]
    return float(np.mean(rejected)) if rejected else math.nan


def image_ap(outcomes: Sequence[Outcome]) -> float:
    """Average precision of the samples' scores. NaN where one label is absent."""
    from sklearn.metrics import average_precision_score

    labels, scores = _labels_and_scores(outcomes)
    if len(set(labels)) < 2:  # noqa: PLR2004 - two labels
        return math.nan
    return float(average_precision_score(labels, scores))


def image_auroc(outcomes: Sequence[Outcome]) -> float:
    """Area under the ROC of the samples' scores. NaN where one label is absent."""
    from sklearn.metrics import roc_auc_score

    labels, scores = _labels_and_scores(outcomes)
    if len(set(labels)) < 2:  # noqa: PLR2004 - two labels
        return math.nan
    return float(roc_auc_score(labels, scores))


def summary(outcomes: Sequence[Outcome], threshold: float) -> dict[str, float | int | None]:
    """All metrics of `outcomes` by their names in result files; None where undefined."""
    raw = [o.raw for o in outcomes]
    gated = [o.gated for o in outcomes]
    values: dict[str, float | int] = {
        "n": len(outcomes),
        "n_defective": sum(o.defective for o in outcomes),
        "seg_miou": seg_miou(raw),
        "seg_recall": seg_recall(raw),
        "seg_recall_overlap": seg_recall(raw, hit_overlaps=True),
        "gated_seg_miou": seg_miou(gated),
        "gated_seg_recall": seg_recall(gated),
        "pooled_miou": pooled_miou(raw),
        "image_ap": image_ap(outcomes),
        "image_auroc": image_auroc(outcomes),
        "recall": _gate_recall(outcomes),
        "false_reject_rate": false_reject_rate(outcomes),
        "threshold": threshold,
    }
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _gate_recall(outcomes: Sequence[Outcome]) -> float:
    caught = [o.opened for o in outcomes if o.defective]
    return float(np.mean(caught)) if caught else math.nan


def _labels_and_scores(outcomes: Sequence[Outcome]) -> tuple[list[bool], list[float]]:
    return [o.defective for o in outcomes], [o.score for o in outcomes]
