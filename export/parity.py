"""What INT8 lost against float on validation, and whether that is within the limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.errors import QualityError
from train.metrics import Outcome

Metrics = Mapping[str, float | int | None]

SCHEMA = 1
PARITY_FILE = "parity.json"
# How much worse a metric may be, as a share, but a mean over samples by what one is worth. None
# hangs on a threshold, which is chosen where nothing else may be; but `AT_THRESHOLD` does, for a
# rendering that takes the threshold of another.
LIMITS = {
    "recall_at_5": 0.005,
    "seg_recall": 0.005,
    "seg_miou": 0.01,
    "image_ap": 0.003,
}
AT_THRESHOLD = {"recall": 0.005, "false_reject_rate": 0.01}
RISES = {"false_reject_rate"}  # and is worse for it
# AP is the mean, over the defective samples, of the precision at the score of each.
MEANS_OVER = {
    "recall_at_5": "n_defective",
    "recall": "n_defective",
    "seg_recall": "n_drawn",
    "image_ap": "n_defective",
    "false_reject_rate": "n_good",
}
ROUNDING = 1e-9  # 1 - 2/3 is more than 1/3


@dataclass(frozen=True)
class Cost:
    """What a rendering lost, which layers stayed float, and which limits do not hold.

    `harms` tells how much each layer harms (`export.sensitivity`), where that was asked; `flipped`
    which samples get another verdict, the smallest defects first and good samples last.
    """

    float_layers: tuple[str, ...]
    losses: dict[str, float]
    broken: tuple[str, ...]
    harms: dict[str, float]
    flipped: tuple[str, ...]


@dataclass(frozen=True)
class Parity:
    """The content of `parity.json`."""

    schema: int
    renderings: dict[str, Cost]


def losses(exact: Metrics, int8: Metrics, limits: Mapping[str, float] = LIMITS) -> dict[str, float]:
    """How much worse each limited metric is in INT8 than in float; negative where it is better."""
    return {
        name: (float(exact[name] or 0.0) - float(int8[name] or 0.0)) * (-1 if name in RISES else 1)
        for name in limits
    }


def flipped(exact: Sequence[Outcome], int8: Sequence[Outcome]) -> tuple[str, ...]:
    """The samples whose gate is open in one and shut in the other, as `Cost` has them."""
    both = zip(exact, int8, strict=True)
    others = [(a.raw.true_px or math.inf, a.name) for a, b in both if a.opened != b.opened]
    return tuple(name for _, name in sorted(others))


def broken_limits(exact: Metrics, int8: Metrics, limits: Mapping[str, float] = LIMITS) -> list[str]:
    """The limits that do not hold, each as a sentence."""
    one_sample = {name: 1 / max(int(exact[n] or 0), 1) for name, n in MEANS_OVER.items()}
    allowed = {name: max(limit, one_sample.get(name, 0.0)) for name, limit in limits.items()}
    return [
        f"{name} {'rose' if name in RISES else 'fell'} by {100 * loss:.1f} points, "
        f"from {exact[name]:.3f} to {int8[name]:.3f}, "
        f"limit {100 * allowed[name]:.1f}"
        for name, loss in losses(exact, int8, limits).items()
        if loss > allowed[name] + ROUNDING
    ]


def require_parity(parity: Parity, report: str) -> None:
    """Refuse INT8 that lost too much, whatever stayed float.

    Raises:
        QualityError: a limit does not hold; `report` is where to read more.
    """
    for name, rendering in parity.renderings.items():
        if rendering.broken:
            raise QualityError(
                f"{name}: INT8 loses too much on validation, even with "
                f"{len(rendering.float_layers)} layers in float: {'; '.join(rendering.broken)}; "
                f"no bundle written, see {report}; try more --images, another --ranges or another "
                "--encoder, or export without --int8"
            )
