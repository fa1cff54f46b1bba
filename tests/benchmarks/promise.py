"""How often the gate's promise is broken, over calibration sets drawn from known scores.

    python tests/benchmarks/promise.py

A promise is broken where the miss rate at the threshold, which is known exactly here, is above what
was promised. With a confidence of 95 % that may happen in 5 % of the sets.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from calibration.threshold import promised_threshold

SETS, CONFIDENCE = 2000, 0.95
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """The scores of defective objects: how to draw n of them, and the share below a threshold."""

    title: str
    draw: Callable[[np.random.Generator, int], Scores]
    missed: Callable[[float], float]


def rounded(values: Scores) -> Scores:
    """To tenths, so that most scores are ties."""
    return np.round(values, 1)


SHARP, VAGUE, LOW = stats.beta(20, 1), stats.beta(5, 1), stats.beta(1, 3)
POPULATIONS = (
    Population("vague scores", lambda rng, n: VAGUE.rvs(n, random_state=rng), VAGUE.cdf),
    Population(
        "one in ten is hard",
        lambda rng, n: np.where(
            rng.random(n) < 0.1, LOW.rvs(n, random_state=rng), SHARP.rvs(n, random_state=rng)
        ),
        lambda t: 0.1 * LOW.cdf(t) + 0.9 * SHARP.cdf(t),
    ),
    Population(
        "ties, in tenths",
        lambda rng, n: rounded(VAGUE.rvs(n, random_state=rng)),
        lambda t: VAGUE.cdf(t - 0.05),
    ),
    Population("all the same", lambda _, n: np.full(n, 0.7), lambda t: float(t > 0.7)),
)
PROMISES = ((0.05, 60), (0.05, 200), (0.01, 300), (0.01, 1000))


def broken(population: Population, rate: float, n: int) -> tuple[int, int]:
    """In how many of the sets of `n` objects a promise was made, and in how many it was broken."""
    rng = np.random.default_rng(n)
    sets = (promised_threshold(population.draw(rng, n), rate, CONFIDENCE) for _ in range(SETS))
    thresholds = [promised[0] for promised in sets if promised]
    return len(thresholds), sum(population.missed(t) > rate + 1e-9 for t in thresholds)


def main() -> None:
    """Print the table."""
    write = sys.stdout.write
    write(f"| defective scores | objects | at most missed | promised | broken of {SETS} |\n")
    write("|---|---|---|---|---|\n")
    for population in POPULATIONS:
        for rate, n in PROMISES:
            made, failed = broken(population, rate, n)
            write(f"| {population.title} | {n} | {rate:.0%} | {made} | {failed} |\n")


if __name__ == "__main__":
    main()
