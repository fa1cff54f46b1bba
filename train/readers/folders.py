"""Folders `images/` and `masks/` (or `annotations/`), paired by path without suffix.

No mask, or an empty one, means good. Folders train, val and test below `images/` give the split,
as do training, valid, validation and testing. Masks of 0 and 255 are of one class; class indices
have the names in `classes.txt`, one a line, the first for index 1, where there is such a file.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.errors import DataError
from train.drawing import MaskFile, holds_indices, read_indices, read_mask_file
from train.readers.image_files import SPLIT_OF_FOLDER, images_in, refuse_orphans
from train.sample import DEFECT, GOOD, SPLITS, Listing, Sample, numbered_classes

MASK_FOLDERS = ("masks", "annotations")
NAMES_FILE = "classes.txt"


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return (root / "images").is_dir()


def read(root: Path) -> Listing:
    """The samples, by name.

    Raises:
        DataError: no image, a mask without an image, or a mask that cannot be read.
    """
    folder = next((root / name for name in MASK_FOLDERS if (root / name).is_dir()), root / "masks")
    masks = {path.relative_to(folder).with_suffix(""): path for path in images_in(folder)}
    indexed = holds_indices(list(masks.values()))
    indices = {key: _indices(path, indexed=indexed) for key, path in masks.items()}
    highest = max((int(found.max(initial=0)) for found in indices.values()), default=0)
    names = _names(root, highest) if indexed else (DEFECT,)
    samples, used = [], set()
    for image in images_in(root / "images"):
        key = image.relative_to(root / "images")
        mask = masks.get(key.with_suffix(""))
        used.add(mask)
        found = indices[key.with_suffix("")] if mask else np.zeros(0, np.intp)
        samples.append(
            Sample(
                name=f"images/{key.as_posix()}",
                image=image,
                drawing=MaskFile(mask, None if indexed else 1) if mask else None,
                defective=found.size > 0,
                kind=names[found[0] - 1] if found.size else GOOD,
                split=SPLIT_OF_FOLDER.get(key.parts[0], ""),
                group=key.as_posix(),
            )
        )
    if not samples:
        raise DataError(f"{root / 'images'}: holds no image; put the samples there")
    refuse_orphans(sorted(set(masks.values()) - used))
    _refuse_strays(root, samples)
    return Listing(tuple(samples), names)


def _indices(mask: Path, *, indexed: bool) -> npt.NDArray[np.intp]:
    """The class indices in the mask, that with the most pixels first; none where it is empty."""
    drawn = read_indices(mask) if indexed else np.minimum(read_mask_file(mask), 1)
    pixels = np.bincount(drawn.ravel())[1:]
    order = np.argsort(-pixels, kind="stable")
    return order[pixels[order] > 0] + 1


def _names(root: Path, highest: int) -> tuple[str, ...]:
    path = root / NAMES_FILE
    if not path.is_file():
        return numbered_classes(highest)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    names = tuple(filter(None, (line.strip() for line in text.splitlines())))
    if len(names) < highest:
        raise DataError(
            f"{path}: names {len(names)} classes, the masks have an index {highest}; "
            "write a name a line, the first for index 1"
        )
    return names


def _refuse_strays(root: Path, samples: list[Sample]) -> None:
    without = [sample.name for sample in samples if not sample.split]
    if without and len(without) < len(samples):
        raise DataError(
            f"{root / without[0]}: lies in none of the folders {SPLITS}, others do; move it there"
        )
