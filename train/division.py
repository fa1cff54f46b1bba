"""Divides samples by group, so that images of one object are never on both sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from runtime.errors import DataError
from train.sample import GOOD, SPLITS, Sample

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
Stratum = tuple[str, bool]  # kind, and whether its defect is drawn


def divide_by_group(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Divide `samples` in two, deterministically: a group stays whole, kinds are shared evenly.

    Of each kind those that are drawn, and those that are only labelled, are shared apart.

    The first part chooses (checkpoint, ranges, mask threshold); the second, which chose nothing,
    may promise.
    """
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    counts: tuple[Counter[Stratum], Counter[Stratum]] = (Counter(), Counter())
    for stratum, members in _groups(samples):
        smaller = min((0, 1), key=lambda part: (counts[part][stratum], len(parts[part])))
        parts[smaller].extend(members)
        counts[smaller].update(map(_stratum, members))
    return parts


def with_splits(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The same samples, those without a split in one: by group, stratified, deterministic.

    Strata are those of `divide_by_group`.

    Three in five for train, one for val, one for test. A set that has train and test already
    gives a quarter of its train to val.
    """
    given = {sample.split for sample in samples}
    if given == {""}:
        split_of = _spread(samples, SHARES)
    elif "" in given:
        split_of = _spread([s for s in samples if not s.split], SHARES)
    elif "train" in given and "val" not in given:
        learned = [sample for sample in samples if sample.split == "train"]
        split_of = _spread(learned, {"train": 0.75, "val": 0.25})
    else:
        return tuple(samples)
    return tuple(replace(s, split=split_of.get((s.split, s.group), s.split)) for s in samples)


def leaks(samples: Iterable[Sample]) -> list[str]:
    """A sentence for each group that lies in several splits: what is tested was learned."""
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    return [
        f"group '{group}' is in the splits {' and '.join(sorted(found, key=SPLITS.index))}; "
        "images of one object belong in one split"
        for group, found in splits.items()
        if len(found) > 1
    ]


def require_both_labels(samples: Sequence[Sample], where: str) -> None:
    """Refuse samples that are all good or all defective.

    Raises:
        DataError: one of the two labels is absent.
    """
    defective = sum(sample.defective for sample in samples)
    for count, word in ((defective, "defective"), (len(samples) - defective, GOOD)):
        if count == 0:
            raise DataError(
                f"{where}: no {word} samples among {len(samples)}; a gate needs both, add some"
            )


def _spread(samples: Sequence[Sample], shares: Mapping[str, float]) -> dict[tuple[str, str], str]:
    """The split of each (given split, group): the one that lacks most of its kind, then of all."""
    counts: dict[str, Counter[Stratum]] = {name: Counter() for name in shares}
    split_of = {}
    for stratum, members in _groups(samples):

        def lacks(
            name: str, stratum: Stratum = stratum, coming: int = len(members)
        ) -> tuple[float, float]:
            of_it = coming + sum(counter[stratum] for counter in counts.values())
            of_all = coming + sum(counter.total() for counter in counts.values())
            return (
                round(shares[name] * of_it - counts[name][stratum], 6),
                shares[name] * of_all - counts[name].total(),
            )

        name = max(shares, key=lacks)
        counts[name].update(map(_stratum, members))
        split_of[members[0].split, members[0].group] = name
    return split_of


def _groups(samples: Iterable[Sample]) -> list[tuple[Stratum, list[Sample]]]:
    """(main stratum, members) of each group: those with defects first, then the large ones.

    So the good ones level what came with the defects.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    ordered = sorted(groups.values(), key=_order)
    return [(_main_stratum(members), members) for members in ordered]


def _order(members: Sequence[Sample]) -> tuple[bool, int, str]:
    good = all(not sample.defective for sample in members)
    return good, -len(members), hashlib.sha256(members[0].group.encode()).hexdigest()


def _main_stratum(members: Iterable[Sample]) -> Stratum:
    found = Counter(map(_stratum, members))
    return max(sorted(found), key=lambda stratum: (stratum[0] != GOOD, found[stratum]))


def _stratum(sample: Sample) -> Stratum:
    return sample.kind, sample.defective and sample.drawing is not None
