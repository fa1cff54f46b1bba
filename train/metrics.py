"""Metrics of a joint model, sample by sample: every sample counts once, however large its defect.

G_i and P_i are the true and the predicted foreground of sample i, P_i after mask threshold and
minimum area. Raw P_i is what the decoder draws; gated P_i is empty where the gate is shut.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.operating_point import MAX_FALSE_REJECTS


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

    @property
    def iou(self) -> float:
        """|P & G| / |P | G|, NaN where both are empty."""
        return self.both_px / self.union_px if self.union_px else math.nan

    def emptied(self) -> "Overlap":
        """The same truth, with P empty: what a shut gate leaves."""
        return Overlap(self.true_px, 0, 0)


@dataclass(frozen=True)
class Outcome:
    """What one sample was and what became of it.

    `drawn`: its truth is known pixel by pixel, so `raw` and `gated` mean something. `classes` is
    `raw` for each class apart.
    """

    name: str
    kind: str
    group: str
    defective: bool
    drawn: bool
    score: float
    opened: bool
    raw: Overlap
    gated: Overlap
    classes: tuple[Overlap, ...]
    contrast: float


def overlap(
    true: npt.NDArray[np.uint8] | npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]
) -> Overlap:
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
    ratios = [o.iou for o in overlaps if o.union_px > 0]
    return float(np.mean(ratios)) if ratios else math.nan


def seg_recall(overlaps: Sequence[Overlap], *, hit_overlaps: bool = False) -> float:
    """Share of defective samples with a non-empty P, or with `hit_overlaps` one that touches G."""
    hits = [(o.both_px if hit_overlaps else o.predicted_px) > 0 for o in overlaps if o.true_px > 0]
    return float(np.mean(hits)) if hits else math.nan


def pooled_miou(overlaps: Sequence[Overlap]) -> float:
    """Intersection over union of all pixels together: the usual one, which large defects rule."""
    union = sum(o.union_px for o in overlaps)
    return sum(o.both_px for o in overlaps) / union if union else math.nan


def class_miou(outcomes: Sequence[Outcome]) -> float:
    """Mean over the defect classes of their pooled mIoU; the background is left out.

    Of outcomes whose truth is known pixel by pixel.
    """
    by_class = zip(*(o.classes for o in outcomes), strict=True)
    values = [pooled_miou(overlaps) for overlaps in by_class]
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


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


def gate_recall(outcomes: Sequence[Outcome]) -> float:
    """Share of defective samples that the gate rejects."""
    caught = [o.opened for o in outcomes if o.defective]
    return float(np.mean(caught)) if caught else math.nan


def area_quarters_px(outcomes: Sequence[Outcome]) -> list[int]:
    """The largest defect of each quarter, from the smallest quarter on; empty without any drawn.

    Of n areas in order, the one at place ceil(k n / 4): defects of one area are in one quarter,
    and where many share it, there are fewer than four.
    """
    areas = sorted(o.raw.true_px for o in outcomes if o.drawn and o.raw.true_px)
    places = {math.ceil(quarter * len(areas) / 4) for quarter in (1, 2, 3, 4)} - {0}
    return sorted({areas[place - 1] for place in places})


def threshold_at_5(outcomes: Sequence[Outcome]) -> float:
    """Just above the score of the first good sample that must be accepted, when 5 % may not be.

    Of n good samples int(0.05 n) may be rejected; fewer are where some share a score. A point of
    these samples' own ROC: it compares models, and is no threshold to run with. Minus infinity
    where there are no good samples: everything is open.
    """
    good = sorted((o.score for o in outcomes if not o.defective), reverse=True)
    if not good:
        return -math.inf
    return float(np.nextafter(good[int(MAX_FALSE_REJECTS * len(good))], math.inf))


def at_5(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """What the gate would be worth at `threshold_at_5`, by the names in result files.

    `recall_at_5`: share of defective samples at or above it. `seg_recall_at_5`,
    `gated_seg_miou_at_5`: Seg_Recall and Seg_mIoU when P_i is empty for samples below it.
    `seg_recall_small_at_5`: Seg_Recall of the first of `area_quarters_px`.
    """
    threshold = threshold_at_5(outcomes)
    small_px = next(iter(area_quarters_px(outcomes)), 0)
    caught = [replace(o, opened=o.score >= threshold) for o in outcomes]
    gated = [o.raw if o.opened else o.raw.emptied() for o in _drawn(caught)]
    small = [overlap for overlap in gated if 0 < overlap.true_px <= small_px]
    return {
        "recall_at_5": gate_recall(caught),
        "seg_recall_at_5": seg_recall(gated),
        "gated_seg_miou_at_5": seg_miou(gated),
        "seg_recall_small_at_5": seg_recall(small),
    }


def summary(outcomes: Sequence[Outcome], threshold: float) -> dict[str, float | int | None]:
    """All metrics of `outcomes` by their names in result files; None where undefined."""
    drawn = _drawn(outcomes)
    raw, gated = [o.raw for o in drawn], [o.gated for o in drawn]
    values: dict[str, float | int] = {
        "n": len(outcomes),
        "n_defective": sum(o.defective for o in outcomes),
        "n_good": sum(not o.defective for o in outcomes),
        "n_drawn": sum(overlap.true_px > 0 for overlap in raw),
        "seg_miou": seg_miou(raw),
        "seg_recall": seg_recall(raw),
        "seg_recall_overlap": seg_recall(raw, hit_overlaps=True),
        "gated_seg_miou": seg_miou(gated),
        "gated_seg_recall": seg_recall(gated),
        "pooled_miou": pooled_miou(raw),
        "class_miou": class_miou(drawn),
        "image_ap": image_ap(outcomes),
        "image_auroc": image_auroc(outcomes),
        "recall": gate_recall(outcomes),
        "false_reject_rate": false_reject_rate(outcomes),
        **at_5(outcomes),
        "threshold": threshold,
    }
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _drawn(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Those by which masks can be judged: none, where no defect is among them."""
    drawn = [o for o in outcomes if o.drawn]
    return drawn if any(o.raw.true_px for o in drawn) else []


def _labels_and_scores(outcomes: Sequence[Outcome]) -> tuple[list[bool], list[float]]:
    return [o.defective for o in outcomes], [o.score for o in outcomes]
