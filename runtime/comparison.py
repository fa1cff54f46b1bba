"""Whether one benchmark is faster or slower than another, or whether the two are noise.

The medians' ratio has an interval by bootstrap over the turns: times that follow each other are
alike, so a turn is drawn as a whole.
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
RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0


@dataclass(frozen=True)
class Change:
    """One phase: the medians in ms, their ratio new / base, and its interval."""

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
    ratios = _medians(new.turns, rng) / _medians(base.turns, rng)
    low, high = np.quantile(ratios, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    ratio = new.latency.median / base.latency.median
    numbers = (round(float(number), 4) for number in (ratio, low, high))
    return Change(name, base.latency.median, new.latency.median, *numbers)


def _medians(turns: list[list[float]], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The median of each resample: as many turns as there are, drawn with replacement."""
    arrays = [np.asarray(turn) for turn in turns]
    drawn = rng.integers(len(arrays), size=(RESAMPLES, len(arrays)))
    return np.array([np.median(np.concatenate([arrays[i] for i in row])) for row in drawn])
