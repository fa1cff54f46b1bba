"""How a rendering does on validation: its threshold, what that promises, and its numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from calibration.threshold import promised_threshold, review_limit, units_needed, worst_by_group
from export.parity import AT_THRESHOLD
from runtime.inspection import Inspector
from runtime.manifest import Guarantee, Metrics
from runtime.onnx_engine import OnnxEngine
from runtime.spec import Limits
from train.checkpoint import ModelRecord
from train.dataset import Dataset
from train.division import divide_by_group, require_both_labels
from train.evaluation import (
    choose_mask_limits,
    choose_threshold,
    outcome,
    predictions,
    sample_scores,
)
from train.metrics import Outcome, summary
from train.operating_point import MAX_FALSE_REJECTS
from train.sample import Sample

console = Console(stderr=True)


@dataclass(frozen=True)
class Promise:
    """What is to be promised: at most this share of misses, with this confidence.

    And the share of good samples that a person may be asked to see; and where there can be no
    promise, the share of them that may be rejected.
    """

    max_miss_rate: float
    confidence: float
    max_review_rate: float = 0.0
    max_false_rejects: float = MAX_FALSE_REJECTS


@dataclass(frozen=True)
class Source:
    """What a bundle is made from: the model's record, and the data that judge it.

    One half of the validation split chooses, the other, which chose nothing, may promise.
    """

    record: ModelRecord
    dataset: Dataset
    choosing: Sequence[Sample]
    deciding: Sequence[Sample]
    promise: Promise

    @property
    def validation(self) -> Sequence[Sample]:
        """Both halves."""
        return [*self.choosing, *self.deciding]

    @property
    def missing(self) -> str:
        """Why nothing can be promised; empty where it can, should no object be missed."""
        promise = self.promise
        if self.dataset.digest != self.record.data_digest:
            return "the data are not those of the training, and may overlap it"
        have = len({sample.group for sample in self.deciding if sample.defective})
        needed = units_needed(promise.max_miss_rate, promise.confidence)
        if have >= needed:
            return ""
        return (
            f"that takes {needed} defective objects without a miss in the proving half of the "
            f"validation split, it has {have}"
        )

    @property
    def comparing(self) -> Sequence[Sample]:
        """Where renderings are compared and chosen: what promises must have chosen nothing."""
        return self.validation if self.missing else self.choosing


@dataclass(frozen=True)
class Judged:
    """A rendering with its limits, what they promise, and what became of validation."""

    inspector: Inspector
    guarantee: Guarantee | None
    outcomes: Sequence[Outcome]

    @property
    def metrics(self) -> Metrics:
        """The numbers on validation."""
        return summary(self.outcomes, self.inspector.limits.threshold)

    def among(self, samples: Sequence[Sample]) -> list[Outcome]:
        """What became of those of the validation samples."""
        names = {sample.name for sample in samples}
        return [outcome for outcome in self.outcomes if outcome.name in names]

    def metrics_on(self, samples: Sequence[Sample], threshold: float | None = None) -> Metrics:
        """The numbers on those of the validation samples; recall and rejects at a `threshold`."""
        found, own = self.among(samples), self.inspector.limits.threshold
        if threshold is None:
            return summary(found, own)
        return summary([replace(o, opened=o.score >= threshold) for o in found], threshold)


def source_of(record: ModelRecord, dataset: Dataset, promise: Promise) -> Source:
    """The halves of validation, both with defective and good samples if the dataset has those.

    Raises:
        DataError: a half lacks one.
    """
    source = Source(record, dataset, *divide_by_group(dataset.split("val")), promise)
    if any(not sample.defective for sample in dataset.samples):
        for part in (source.choosing, source.deciding):
            require_both_labels(part, f"{dataset.root}: a half of split val")
    return source


def unprejudiced(source: Source, rendering: Path) -> Source:
    """`source` with mask limits that the proving half had no say in, where it may promise.

    Those of the model are chosen on both halves. Parity depends on them, which layers stay float
    on parity, and the scores on that.
    """
    if source.missing:
        return source
    record, choosing = source.record, source.choosing
    inspector = inspector_of(rendering, record, Limits())
    threshold = choose_threshold(
        inspector, choosing, record.input, source.promise.max_false_rejects
    )
    limits = choose_mask_limits(inspector, choosing, record.input, threshold)
    return replace(source, record=replace(record, limits=limits))


def judge(rendering: Path, source: Source) -> Judged:
    """Choose the threshold for `rendering`, prove what can be proven, and measure.

    The mask's limits are the source's own, so that renderings differ by their arithmetic alone.
    """
    spec, promise = source.record.input, source.promise
    inspector = inspector_of(rendering, source.record, Limits())
    threshold = choose_threshold(inspector, source.deciding, spec, promise.max_false_rejects)
    limits = replace(source.record.limits, threshold=threshold)
    promised = None
    if not source.missing:
        units = _unit_scores(inspector, source)
        promised = promised_threshold(units, promise.max_miss_rate, promise.confidence)
    if promised:
        limits = replace(limits, threshold=promised[0])
    return _judged(rendering, source, limits, promised[1] if promised else None)


def comparing_threshold(judged: Judged, source: Source) -> float | None:
    """Where others must keep the recall of `judged`, if that is not its own threshold.

    Its own is proven by samples that must have chosen nothing, where it may promise; this one is
    what the half that chooses would have.
    """
    if source.missing:
        return None
    promise = source.promise
    defective = [o for o in judged.among(source.choosing) if o.defective]
    units = worst_by_group([o.score for o in defective], [o.group for o in defective])
    promised = promised_threshold(units, promise.max_miss_rate, promise.confidence)
    return promised[0] if promised else source.record.limits.threshold


def judge_for_all(
    rendering: Path, judged: Judged, others: Mapping[str, Inspector], source: Source
) -> Judged:
    """`rendering` again, with a threshold that is good for the `others` too.

    The lowest of what each could have: where there is a promise it is proven for each by itself.
    Else each keeps the recall that `judged` has on validation, but for what `AT_THRESHOLD` lets,
    as far as the false rejects of `judged` rise by no more than that lets.
    """
    own, guarantee = judged.inspector.limits.threshold, judged.guarantee
    if guarantee:
        inspectors = {"cpu": judged.inspector, **others}
        units = {name: _unit_scores(inspector, source) for name, inspector in inspectors.items()}
        wanted = guarantee.max_miss_rate, guarantee.confidence
        promised = {name: promised_threshold(scores, *wanted) for name, scores in units.items()}
        thresholds = {name: found[0] for name, found in promised.items() if found}
        guarantee = guarantee if len(thresholds) == len(inspectors) else None
    lowest = 0.0
    if not guarantee:
        lowest = _threshold_with_rejects(judged)
        thresholds = {
            name: _threshold_with_recall(inspector, judged, source)
            for name, inspector in others.items()
        }
    decides, needed = min([("cpu", own), *thresholds.items()], key=lambda item: item[1])
    threshold = min(own, max(needed, lowest))
    if guarantee:
        missed = max(sum(score < threshold for score in scores) for scores in units.values())
        guarantee = replace(guarantee, n_missed=missed, rendering="each")
    if needed < own:
        rest = f"; {needed:.3f} would cost too many false rejects" if needed < threshold else ""
        console.print(
            f"threshold {threshold:.3f}, where cpu alone could have {own:.3f}: {decides} would "
            f"miss more{rest}",
            soft_wrap=True,
            markup=False,
        )
    if threshold == own:
        return replace(judged, guarantee=guarantee)
    limits = replace(judged.inspector.limits, threshold=threshold)
    return _judged(rendering, source, limits, guarantee)


def _unit_scores(inspector: Inspector, source: Source) -> list[float]:
    """The score of each defective object of the proving half: that of its worst image."""
    defective = [sample for sample in source.deciding if sample.defective]
    scores = sample_scores(inspector, defective, source.record.input)
    return worst_by_group(scores, [sample.group for sample in defective])


def _threshold_with_recall(inspector: Inspector, judged: Judged, source: Source) -> float:
    """The highest threshold with the recall that `judged` has, but for what `AT_THRESHOLD` lets."""
    defective = [sample for sample in source.validation if sample.defective]
    scores = sorted(sample_scores(inspector, defective, source.record.input))
    missed = sum(o.defective and not o.opened for o in judged.outcomes)
    missed += max(1, int(AT_THRESHOLD["recall"] * len(scores)))
    return scores[missed] if missed < len(scores) else math.inf


def _threshold_with_rejects(judged: Judged) -> float:
    """The lowest threshold at which its false rejects rise by no more than `AT_THRESHOLD` lets."""
    good = sorted((o.score for o in judged.outcomes if not o.defective), reverse=True)
    rejected = sum(o.opened for o in judged.outcomes if not o.defective)
    rejected += max(1, int(AT_THRESHOLD["false_reject_rate"] * len(good)))
    return math.nextafter(good[rejected], math.inf) if rejected < len(good) else 0.0


def _judged(rendering: Path, source: Source, limits: Limits, guarantee: Guarantee | None) -> Judged:
    """`rendering` by the `limits`, to which those of a review are added where there is a budget."""
    spec, promise = source.record.input, source.promise
    if promise.max_review_rate:
        good = [sample for sample in source.deciding if not sample.defective]
        inspector = inspector_of(rendering, source.record, limits)
        good_scores = sample_scores(inspector, good, spec)
        below = review_limit(good_scores, limits.threshold, promise.max_review_rate)
        limits = replace(limits, review_below=below)
    inspector = inspector_of(rendering, source.record, limits)
    return Judged(inspector, guarantee, outcomes_of(inspector, source))


def outcomes_of(inspector: Inspector, source: Source) -> list[Outcome]:
    """What becomes of the validation samples."""
    seen = predictions(inspector, source.validation, source.record.input)
    return [outcome(prediction, inspector.limits) for prediction in seen]


def inspector_of(
    rendering: Path, record: ModelRecord, limits: Limits, *, fused: bool = True
) -> Inspector:
    """What judges by the two networks in the folder `rendering`, in onnxruntime."""
    engine = OnnxEngine(rendering / "gate.onnx", rendering / "mask.onnx", fused=fused)
    return Inspector(engine, record.input, limits, record.class_names)


def say_what_is_missing(source: Source, judged: Judged) -> None:
    """Why there is no promise, and how the threshold was chosen; why nothing is for review."""
    rate = source.promise.max_review_rate
    if rate and not judged.inspector.limits.review_below:
        good = sum(not sample.defective for sample in source.deciding)
        console.print(
            f"no sample will be REVIEW: of the {good} good ones in the proving half of the "
            f"validation split none opens the gate, or {rate:.1%} is less than one",
            soft_wrap=True,
            markup=False,
        )
    if judged.guarantee:
        return
    reason = source.missing or "too many were missed at any threshold"
    rejects = f"{100 * source.promise.max_false_rejects:g}% false rejects"
    chosen = f"the threshold is the best recall at {rejects}"
    if all(sample.defective for sample in source.deciding):
        chosen = "the threshold is 0, which rejects every sample: no good one says where to put it"
    console.print(
        f"no promise of at most {source.promise.max_miss_rate:.1%} missed: {reason}; {chosen}",
        soft_wrap=True,
        markup=False,
    )
