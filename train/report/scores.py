"""How scores are shown: as numbers, and where in a chart, so that those close to 0 or 1 differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BINS = 40
REACH = 16.0  # in log-odds: nine million to one
SMALL, LARGE = 0.01, 0.9995


@dataclass(frozen=True)
class Scale:
    """Where scores are drawn, from `low` to `high`: as they are, or at their log-odds."""

    low: float = 0.0
    high: float = 1.0
    by_odds: bool = False

    def place(self, score: float) -> float:
        """Where a score is drawn; what lies beyond an end is drawn there."""
        value = _log_odds(score) if self.by_odds else score
        return min(max(value, self.low), self.high)

    def score(self, place: float) -> float:
        """The score that is drawn at `place`."""
        return math.exp(place) / (1 + math.exp(place)) if self.by_odds else place


def scale_of(marks: Sequence[float]) -> Scale:
    """By log-odds where one of the `marks` is so close to 0 or 1 that a bin would not show it."""
    close = [m for m in marks if 0 < m < 1 and not 1 / BINS <= m <= 1 - 1 / BINS]
    if not close:
        return Scale()
    odds = [_log_odds(mark) for mark in close]
    return Scale(min(-REACH, min(odds) - 1), max(REACH, max(odds) + 1), by_odds=True)


def bin_edges(marks: Sequence[float]) -> list[float]:
    """About forty bins of [0, 1], some of whose edges are the `marks`, alike in `scale_of` them."""
    scale = scale_of(marks)
    edges = [0.0]
    for low, high in pairwise(sorted({0.0, *(min(max(m, 0.0), 1.0) for m in marks), 1.0})):
        first, last = scale.place(low), scale.place(high)
        n = max(1, round(BINS * (last - first) / (scale.high - scale.low)))
        edges += [scale.score(first + k * (last - first) / n) for k in range(1, n)]
        edges.append(high)
    return edges


def score_text(score: float) -> str:
    """Three digits; of a small score the first that count, of one close to 1 what it lacks."""
    if 0 < score < SMALL:
        return f"{score:.3g}"
    return f"1 - {1 - score:.3g}" if LARGE < score < 1 else f"{score:.3f}"


def _log_odds(score: float) -> float:
    if 0 < score < 1:
        return math.log(score) - math.log1p(-score)
    return math.inf if score >= 1 else -math.inf
