"""The samples worth a look, chosen while they pass by: only their pictures are kept."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.inspection import open_tiles
from runtime.spec import Limits
from train.evaluation import Prediction, found_mask
from train.metrics import Outcome
from train.report.pictures import Picture, picture

SHOWN = 12


@dataclass(frozen=True)
class Seen:
    """A sample as a model with certain limits has seen it."""

    prediction: Prediction
    limits: Limits
    outcome: Outcome

    def picture(self) -> Picture:
        """The sample with the true outline, and what was drawn where the gate opened."""
        opened = open_tiles(self.prediction.scores, self.limits.threshold)
        found = np.logical_or.reduce(found_mask(self.prediction, self.limits, opened))
        truth = self.prediction.truth
        return picture(self.prediction.image, np.asarray(truth > 0), np.asarray(found))


@dataclass(frozen=True)
class Exhibit:
    """A sample's picture, with what became of it, and by the second model where there is one."""

    outcome: Outcome
    other: Outcome | None
    picture: Picture


class Worst:
    """The twelve samples that come first by `rank`, lowest first."""

    def __init__(self, rank: Callable[[Outcome], float]) -> None:
        self._rank = rank
        self._kept: list[tuple[float, str, Exhibit]] = []

    @property
    def exhibits(self) -> list[Exhibit]:
        """What was kept, in order; samples of one rank by name."""
        return [exhibit for _, _, exhibit in self._kept]

    def offer(
        self, outcome: Outcome, other: Outcome | None, picture_of: Callable[[], Picture]
    ) -> None:
        """Keep the sample if it is among the first; only then is its picture made."""
        place = self._rank(outcome), outcome.name
        if len(self._kept) == SHOWN and place >= self._kept[-1][:2]:
            return
        self._kept.append((*place, Exhibit(outcome, other, picture_of())))
        self._kept.sort(key=lambda kept: kept[:2])
        del self._kept[SHOWN:]


class Gallery:
    """What went wrong, and what two models see differently.

    Misses, the most visible first; false alarms, the highest score first, what a person sees among
    them; differing verdicts, and the samples named in `flipped`, the smallest defects first and
    good samples last.
    """

    def __init__(self, flipped: Collection[str] = ()) -> None:
        self._flipped = frozenset(flipped)
        self.n_differing = 0
        self.misses = Worst(lambda o: math.inf if math.isnan(o.contrast) else -o.contrast)
        self.false_alarms = Worst(lambda o: -o.score)
        self.differing = Worst(lambda o: o.raw.true_px or math.inf)

    def add(self, seen: Sequence[Seen]) -> None:
        """Look at one sample, as the model has seen it, and a second one where there is one."""
        first, other = seen[0], seen[1].outcome if len(seen) > 1 else None
        outcome = first.outcome
        if outcome.defective and not outcome.opened:
            self.misses.offer(outcome, other, first.picture)
        if outcome.opened and not outcome.defective:
            self.false_alarms.offer(outcome, other, first.picture)
        if other and (outcome.opened != other.opened or outcome.name in self._flipped):
            self.n_differing += 1
            rejecting = seen[0] if outcome.opened else seen[1]
            self.differing.offer(outcome, other, rejecting.picture)
