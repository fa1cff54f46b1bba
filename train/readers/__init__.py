"""One file for each layout of datasets: whether a folder has it, and how it is read.

A reader gives what the set says; splits that it does not give are made by `train.division`. A
sample with defects of several classes is of the kind that has most pixels.
"""

from pathlib import Path
from types import ModuleType

from runtime.errors import DataError
from train.readers import (
    coco,
    dagm,
    folders,
    kolektor,
    kolektor2,
    labelme,
    mvtec,
    severstal,
    split_csv,
    visa,
    yolo,
)

# In the order in which they are looked for: a layout that says more comes first.
FORMATS: dict[str, ModuleType] = {
    "split.csv": split_csv,
    "severstal": severstal,
    "visa": visa,
    "mvtec": mvtec,
    "dagm": dagm,
    "kolektor2": kolektor2,
    "kolektor": kolektor,
    "labelme": labelme,
    "coco": coco,
    "yolo": yolo,
    "folders": folders,
}


def format_of(root: Path) -> str:
    """The name of the layout found in the folder `root`.

    Raises:
        DataError: there is none.
    """
    for name, reader in FORMATS.items():
        if reader.detects(root):
            return name
    if not root.is_dir():
        what = "is a file; name its folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}")
    raise DataError(
        f"{root}: no dataset; put images into its folder images, and masks of the defective ones, "
        "white on black and named as they are, into masks, or take another of the layouts "
        f"{', '.join(FORMATS)} (see train/README.md), or PATH::format"
    )
