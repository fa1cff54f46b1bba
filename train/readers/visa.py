"""An object's folder of VisA: `image_anno.csv` names images and masks below `Data/`.

Columns image,label,mask; the paths begin with the object's folder itself. A label is `normal`, or
the names of the defects with commas between: the first is the kind, and the class of every pixel
that the mask has, since its values are not named. `split_csv/1cls.csv`, which may lie beside the
folder, is passed over: it teaches normal images only, so a split with defects is made.
"""

from pathlib import Path, PurePosixPath

from runtime.errors import DataError
from train.drawing import MaskFile
from train.readers.image_files import refuse_whole, sample_of
from train.readers.table import rows_of
from train.sample import GOOD, Listing, Sample

TABLE = "image_anno.csv"
COLUMNS = ("image", "label", "mask")
NORMAL = "normal"


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout, or holds folders that have."""
    return (root / TABLE).is_file() or bool(_objects(root))


def read(root: Path) -> Listing:
    """The samples of the table, in its order; classes are the kinds, sorted.

    Raises:
        DataError: the folder of all objects, or a table with a missing column or a wrong field.
    """
    refuse_whole(root, _objects(root), "objects")
    rows = rows_of(root / TABLE, COLUMNS)
    kinds = [_kind(root / TABLE, line, row) for line, row in rows]
    names = tuple(sorted(set(kinds) - {GOOD}))
    samples = (_sample(root, row, kind, names) for (_, row), kind in zip(rows, kinds, strict=True))
    return Listing(tuple(samples), names)


def _kind(table: Path, line: int, row: dict[str, str]) -> str:
    first = row["label"].split(",")[0].strip()
    if not first:
        raise DataError(f"{table}:{line}: label is empty, expected '{NORMAL}' or the defects")
    if first != NORMAL and not row["mask"]:
        raise DataError(f"{table}:{line}: mask is empty, label is '{first}'; name the mask")
    if first == NORMAL and row["mask"]:
        raise DataError(f"{table}:{line}: mask is '{row['mask']}', label '{NORMAL}'; mend one")
    return GOOD if first == NORMAL else first


def _sample(root: Path, row: dict[str, str], kind: str, names: tuple[str, ...]) -> Sample:
    image = _file(root, row["image"])
    if kind == GOOD:
        return sample_of(root, image, None, GOOD, "")
    drawing = MaskFile(_file(root, row["mask"]), names.index(kind) + 1)
    return sample_of(root, image, drawing, kind, "")


def _file(root: Path, path: str) -> Path:
    """The file, whatever the object's folder is called here."""
    return root.joinpath(*PurePosixPath(path).parts[1:])


def _objects(root: Path) -> list[str]:
    return sorted(table.parent.name for table in root.glob(f"*/{TABLE}"))
