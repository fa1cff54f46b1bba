"""A table `split.csv`: file,mask,label,class,split,group; more columns are passed over.

label 1 = defective; without a mask it is known as defective, not where. `group` = images that show
one object. `split` may be empty in all rows.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from runtime.errors import DataError
from train.drawing import MaskFile, holds_indices, read_indices
from train.readers.table import refuse_doubles, rows_of
from train.sample import DEFECT, GOOD, NO_DEFECTS, SPLITS, Listing, Sample, numbered_classes

TABLE = "split.csv"
COLUMNS = ("file", "mask", "label", "class", "split", "group")


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return (root / TABLE).is_file()


def read(root: Path) -> Listing:
    """The samples of the table, in its order.

    Raises:
        DataError: no UTF-8 text, a column that is missing, a wrong field, or a file listed twice.
    """
    table = root / TABLE
    rows = rows_of(table, COLUMNS)
    refuse_doubles(table, rows, "draw all defects of an image into one mask")
    _refuse_good_defects(table, rows)
    samples = [_sample_of_row(root, table, line, row) for line, row in rows]
    masks = [s.drawing.path for s in samples if isinstance(s.drawing, MaskFile) and s.defective]
    if all(path.is_file() for path in masks) and holds_indices(masks):
        return Listing(tuple(samples), _names_of_indices(samples))
    names = _names_of_kinds(samples)
    return Listing(tuple(_as_binary(sample, names) for sample in samples), names)


def _refuse_good_defects(table: Path, rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    defects = {row["class"].strip() for _, row in rows if row["label"].strip() == "1"}
    for line, row in rows:
        if row["label"].strip() == "0" and row["class"].strip() in defects - NO_DEFECTS:
            raise DataError(
                f"{table}:{line}: label is 0, which is good, and class '{row['class']}', which "
                "others with label 1 have; mend one of the two"
            )


def _sample_of_row(root: Path, table: Path, line: int, row: dict[str, str]) -> Sample:
    row = row | {name: row[name].strip() for name in ("label", "class", "split", "group")}
    if row["label"] not in {"0", "1"}:
        raise DataError(f"{table}:{line}: label is '{row['label']}', expected 0 or 1")
    if row["split"] not in {*SPLITS, ""}:
        raise DataError(f"{table}:{line}: split is '{row['split']}', expected one of {SPLITS}")
    defective = row["label"] == "1"
    return Sample(
        name=row["file"],
        image=root / row["file"],
        drawing=MaskFile(root / row["mask"], None) if row["mask"] else None,
        defective=defective,
        kind=(row["class"] or DEFECT) if defective else GOOD,
        split=row["split"],
        group=row["group"] or row["file"],
    )


def _names_of_kinds(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The classes of the defects; a mere label without one says none, where others do."""
    defective = [sample for sample in samples if sample.defective]
    named = {sample.kind for sample in defective if sample.drawing or sample.kind != DEFECT}
    return tuple(sorted(named or {sample.kind for sample in defective}))


def _as_binary(sample: Sample, names: Sequence[str]) -> Sample:
    if not isinstance(sample.drawing, MaskFile):
        return sample
    index = names.index(sample.kind) + 1 if sample.defective else 1
    return replace(sample, drawing=MaskFile(sample.drawing.path, index))


def _names_of_indices(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The class that goes with each index: that of all the masks which hold it alone, if one."""
    kinds: dict[int, set[str]] = defaultdict(set)
    highest = 0
    for sample in samples:
        if isinstance(sample.drawing, MaskFile) and sample.defective:
            found = np.unique(read_indices(sample.drawing.path))
            highest = max(highest, int(found[-1]))
            if np.count_nonzero(found) == 1:
                kinds[int(found[-1])].add(sample.kind)
    names = tuple(
        kinds[index].pop() if len(kinds[index]) == 1 else f"class {index}"
        for index in range(1, highest + 1)
    )
    return names if len(set(names)) == len(names) else numbered_classes(highest)
