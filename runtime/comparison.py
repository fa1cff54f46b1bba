"""Whether one benchmark is faster or slower than another, or whether the two are noise.

Of each turn the median counts, and of the turns the quietest third: what else runs on a machine
makes a turn slower and never faster. The ratio has an interval by bootstrap over the turns: times
that follow each other are alike, so a turn is drawn as a whole.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.benchmark import SCHEMA, Phase, Report
from runtime.errors import DataError
from runtime.record import read_record

QUIET_CORES = 0.25  # busy with other programs, at most: more would decide which is slower
QUIET_TURNS = 1 / 3
RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One phase: its times in ms, their ratio new / base, and its interval."""

    phase: str
    base_ms: float
    new_ms: float
    ratio: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """`faster` or `slower` where the interval leaves 1 out, else `noise`."""
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else "noise"

    def is_slowdown(self, tolerance: float) -> bool:
        """Whether it is slower, and by more than `tolerance`, a share."""
        return self.word == "slower" and self.ratio > 1 + tolerance


def read_report(path: Path) -> Report:
    """What `benchmark --json` wrote.

    Raises:
        DataError: missing, of another schema, or changed.
    """
    return read_record(path, Report, SCHEMA, DataError, "run defectgate benchmark again")


def changes(base: Report, new: Report) -> list[Change]:
    """The change of each phase.

    Raises:
        DataError: another machine, power mode or settings, or a busy machine; each is named.
    """
    differing = differences(base, new)
    if differing:
        raise DataError(
            f"not comparable: {'; '.join(differing)}; measure both alike, on one machine"
        )
    return [_change(name, base.phases[name], new.phases[name]) for name in base.phases]


def differences(base: Report, new: Report) -> list[str]:
    """What must agree and does not, as `machine.model is A, was B`, and who else was busy."""
    before, after = _conditions(base), _conditions(new)
    changed = [
        f"{name} is {after.get(name)}, was {before.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    busy = [
        f"other programs took {report.others_cores} cores at {report.when}"
        for report in (base, new)
        if report.others_cores > QUIET_CORES
    ]
    return changed + busy


def _conditions(report: Report) -> dict[str, Any]:
    machine = {f"machine.{name}": value for name, value in asdict(report.machine).items()}
    settings = {f"settings.{name}": value for name, value in asdict(report.settings).items()}
    state = {
        "power_mode": report.before.power_mode,
        "clocks_locked": report.before.clocks_locked,
        "phases": sorted(report.phases),
    }
    return machine | settings | state


def _change(name: str, base: Phase, new: Phase) -> Change:
    rng = np.random.default_rng(SEED)
    was, now = _medians(base), _medians(new)
    ratios = _quiet(_resampled(now, rng)) / _quiet(_resampled(was, rng))
    low, high = np.quantile(ratios, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    base_ms, new_ms = _quiet(was), _quiet(now)
    numbers = (round(float(n), 4) for n in (base_ms, new_ms, new_ms / base_ms, low, high))
    return Change(name, *numbers)


def _medians(phase: Phase) -> Times:
    """The median of each turn."""
    return np.array([np.median(turn) for turn in phase.turns])


def _resampled(medians: Times, rng: np.random.Generator) -> Times:
    """As many turns as there are, drawn with replacement, again and again."""
    return rng.choice(medians, size=(RESAMPLES, len(medians)))


def _quiet(medians: Times) -> Times:
    """The mean over the quietest turns: a slowdown that spares so many is not seen."""
    count = max(1, round(QUIET_TURNS * medians.shape[-1]))
    mean: Times = np.sort(medians)[..., :count].mean(axis=-1)
    return mean
