"""One model on one split: what became of every sample, and all that is computed from it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from runtime.inspection import answer_to
from runtime.manifest import Metrics
from runtime.verdict import Answer
from train.breakdown import Breakdown, breakdown
from train.contrast import CLEARLY_VISIBLE
from train.intervals import Interval, bootstrap_intervals, share_intervals
from train.judge import Judge
from train.metrics import Outcome, summary

ANSWERS = (Answer.OK, Answer.REVIEW, Answer.NG)


@dataclass(frozen=True)
class Measured:
    """A judge, the outcomes of the samples in their order, and their numbers."""

    judge: Judge
    outcomes: Sequence[Outcome]
    metrics: Metrics
    intervals: dict[str, Interval | None]
    parts: Breakdown

    @property
    def missed(self) -> list[Outcome]:
        """Defective samples that were accepted, the most visible first."""
        missed = [o for o in self.outcomes if o.defective and not o.opened]
        return sorted(missed, key=lambda o: math.inf if math.isnan(o.contrast) else -o.contrast)

    @property
    def clearly_visible(self) -> list[Outcome]:
        """Defective samples whose defect anyone would see."""
        return [o for o in self.outcomes if o.defective and o.contrast >= CLEARLY_VISIBLE]

    @property
    def false_alarms(self) -> list[Outcome]:
        """Good samples that were rejected, the surest first; those that a person sees are not."""
        rejected = [o for o in self.answered(Answer.NG) if not o.defective]
        return sorted(rejected, key=lambda o: -o.score)

    @property
    def has_review(self) -> bool:
        """Whether some scores are for a person to see."""
        limits = self.judge.inspector.limits
        return limits.review_below > limits.threshold

    def answered(self, answer: Answer) -> list[Outcome]:
        """The samples that get this answer of the runtime."""
        limits = self.judge.inspector.limits
        return [o for o in self.outcomes if answer_to(o.score, limits) is answer]

    def record(self) -> dict[str, Any]:
        """What goes into a result file: metrics and their intervals, the answers, and the parts.

        What the gate rejects, by the metrics, is NG or REVIEW.
        """
        parts = asdict(self.parts)
        by = {name.removeprefix("by_"): part for name, part in parts.items()}
        return {
            **self.metrics,
            "review_below": self.judge.inspector.limits.review_below,
            "answers": {answer.value: len(self.answered(answer)) for answer in ANSWERS},
            "intervals": self.intervals,
            "by": _defined(by),
        }


def measure(judge: Judge, outcomes: Sequence[Outcome]) -> Measured:
    """All numbers of `outcomes`, which are those of `judge`."""
    return Measured(
        judge,
        outcomes,
        summary(outcomes, judge.inspector.limits.threshold),
        {**share_intervals(outcomes), **bootstrap_intervals(outcomes)},
        breakdown(outcomes, judge.inspector.class_names),
    )


def _defined(value: Any) -> Any:
    """The same, None where a number is undefined: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _defined(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
