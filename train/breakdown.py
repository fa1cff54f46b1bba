"""Recall apart: by class, by size and by contrast of the defect, and by object.

A sample's class is its kind. To a model of several classes it is of each that its truth shows, and
only what is drawn of that class counts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from train.contrast import CLEARLY_VISIBLE
from train.intervals import Interval, share_interval
from train.metrics import Outcome, area_quarters_px, gate_recall, seg_miou, seg_recall

FAINT = 1.5
WORST = 10


@dataclass(frozen=True)
class Part:
    """Some of the defective samples: how many the gate caught, and what the decoder drew of them.

    `seg_recall` and `seg_miou` are raw, over the `n_drawn` whose truth is known by pixel.
    """

    name: str
    n: int
    caught: int
    recall: float
    interval: Interval | None
    n_drawn: int
    seg_recall: float
    seg_miou: float


@dataclass(frozen=True)
class Item:
    """One object: how many images show its defect, in how many it was caught, and the worst."""

    name: str
    n: int
    caught: int
    lowest_score: float


@dataclass(frozen=True)
class Objects:
    """The objects with a defect; caught is one whose every defective image was.

    So a miss is what `runtime.manifest.Guarantee` counts. `worst` are up to ten that were missed,
    those with the lowest score first.
    """

    n: int
    caught: int
    recall: float
    interval: Interval | None
    worst: tuple[Item, ...]


@dataclass(frozen=True)
class Breakdown:
    """The defective samples of a set, parted in four ways; a part without samples is left out.

    A sample of several classes is in the part of each.
    """

    by_class: tuple[Part, ...]
    by_size: tuple[Part, ...]
    by_contrast: tuple[Part, ...]
    by_group: Objects


def breakdown(outcomes: Sequence[Outcome], class_names: Sequence[str]) -> Breakdown:
    """The parts of `outcomes`, which a model of the classes `class_names` had.

    Classes by name, sizes and contrasts from the hardest on.
    """
    defective = [o for o in outcomes if o.defective]
    return Breakdown(
        by_class=tuple(_parts(_by(_of_each_class(defective, class_names), lambda o: o.kind))),
        by_size=tuple(_parts(_sizes(defective))),
        by_contrast=tuple(_parts(_contrasts(defective))),
        by_group=_objects(defective),
    )


def _of_each_class(defective: Sequence[Outcome], class_names: Sequence[str]) -> list[Outcome]:
    """A sample once for each class that its truth shows, with what was drawn of that class."""
    if len(class_names) == 1:
        return [*defective]
    return [
        replace(o, kind=name, raw=own)
        for o in defective
        for name, own in zip(class_names, o.classes, strict=True)
        if own.true_px or (not o.drawn and o.kind == name)
    ]


def _parts(members_of: Iterable[tuple[str, list[Outcome]]]) -> list[Part]:
    return [_part(name, members) for name, members in members_of if members]


def _part(name: str, members: Sequence[Outcome]) -> Part:
    caught = sum(o.opened for o in members)
    raw = [o.raw for o in members if o.drawn]
    return Part(
        name=name,
        n=len(members),
        caught=caught,
        recall=gate_recall(members),
        interval=share_interval(caught, len(members)),
        n_drawn=len(raw),
        seg_recall=seg_recall(raw),
        seg_miou=seg_miou(raw),
    )


def _by(
    defective: Sequence[Outcome], key: Callable[[Outcome], str]
) -> list[tuple[str, list[Outcome]]]:
    members: dict[str, list[Outcome]] = defaultdict(list)
    for o in defective:
        members[key(o)].append(o)
    return sorted(members.items())


def _sizes(defective: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """The quarters of `area_quarters_px`."""
    return [
        (f"{low + 1} to {high} px", [o for o in defective if low < o.raw.true_px <= high])
        for low, high in pairwise([0, *area_quarters_px(defective)])
    ]


def _contrasts(defective: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """Faint, visible and clearly visible, by contrast to noise; those not drawn have none."""
    bands = (
        (f"below {FAINT:g}", 0.0, FAINT),
        (f"{FAINT:g} to {CLEARLY_VISIBLE:g}", FAINT, CLEARLY_VISIBLE),
        (f"{CLEARLY_VISIBLE:g} and more", CLEARLY_VISIBLE, np.inf),
    )
    return [(name, [o for o in defective if low <= o.contrast < high]) for name, low, high in bands]


def _objects(defective: Sequence[Outcome]) -> Objects:
    items = [
        Item(name, len(members), sum(o.opened for o in members), min(o.score for o in members))
        for name, members in _by(defective, lambda o: o.group)
    ]
    missed = [item for item in items if item.caught < item.n]
    caught = len(items) - len(missed)
    return Objects(
        n=len(items),
        caught=caught,
        recall=caught / len(items) if items else np.nan,
        interval=share_interval(caught, len(items)),
        worst=tuple(sorted(missed, key=lambda item: item.lowest_score)[:WORST]),
    )
