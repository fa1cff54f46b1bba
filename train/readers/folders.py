"""Folders `images/` and `masks/` (or `annotations/`), paired by path without suffix.

No mask, or an empty one, means good. Folders train, val and test below `images/`, or above it,
give the split, as do training, valid, validation and testing. Masks of 0 and 255 are of one class;
class indices have the names in `classes.txt`, one a line, the first for index 1, where there is
such a file.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.errors import DataError
from runtime.images import IMAGE_SUFFIXES
from train.drawing import WHITE, MaskFile, read_indices, read_mask_file
from train.readers.image_files import (
    files_in,
    images_in,
    name_in,
    refuse_bad,
    refuse_orphans,
    split_named,
)
from train.readers.yolo_labels import TEXT, is_label
from train.sample import DEFECT, GOOD, SPLITS, Listing, Sample, numbered_classes

IMAGES = "images"
MASK_FOLDERS = ("masks", "annotations")
NAMES_FILE = "classes.txt"
LABELS = re.compile(
    "mask|label|annot|(?<!back)ground|(?<![a-z])gt", re.IGNORECASE
)  # what others call the folder
BACKGROUND = re.compile(r"(\d+\W+)?_*(background|bg|good|none)_*", re.IGNORECASE)
Counts = npt.NDArray[np.intp]


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return bool(_parts(root))


def read(root: Path) -> Listing:
    """The samples, by name.

    Raises:
        DataError: no image, a mask without an image, or one that cannot be read or counts twice.
    """
    parts = _parts(root) or [(root, "")]
    masks = {key: mask for part, _ in parts for key, mask in _masks(part).items()}
    pixels = {
        key: np.bincount(read_mask_file(mask).ravel(), minlength=WHITE + 1)
        for key, mask in masks.items()
    }
    indexed = _indexed(root, list(pixels.values()))
    found = {key: _classes(masks[key], counts, indexed=indexed) for key, counts in pixels.items()}
    highest = max((max(classes, default=0) for classes in found.values()), default=0)
    names = _names(root, highest) if indexed else _no_names(root)
    samples, used = [], set()
    firsts: dict[Path, str] = {}  # of the images that share a mask
    for part, split in parts:
        for image in images_in(part / IMAGES):
            key, name = image.with_suffix(""), name_in(root, image)
            mask, classes = masks.get(key), found.get(key, [])
            used.add(mask)
            folders = image.relative_to(part / IMAGES).parts[:-1]
            first = firsts.setdefault(key, name)
            samples.append(
                Sample(
                    name=name,
                    image=image,
                    drawing=MaskFile(mask, None if indexed else 1) if mask else None,
                    defective=bool(classes),
                    kind=names[classes[0] - 1] if classes else GOOD,
                    split=split or split_named(reversed(folders)),
                    group=first.removeprefix(f"{IMAGES}/"),
                )
            )
        _refuse_unread(root, part, samples)
    if not samples:
        raise DataError(f"{root / IMAGES}: holds no image; put the samples there")
    refuse_orphans(sorted(set(masks.values()) - used))
    refuse_bad(samples, "an empty mask")
    _refuse_strays(root, samples)
    return Listing(tuple(samples), names)


def _parts(root: Path) -> list[tuple[Path, str]]:
    """(folder, split) of each that holds `images/`: the root, or else those named as a split."""
    if (root / IMAGES).is_dir():
        return [(root, "")]
    found = [(folder, split_named([folder.name])) for folder in sorted(root.glob("*"))]
    return [(folder, split) for folder, split in found if split and (folder / IMAGES).is_dir()]


def _mask_folder(part: Path) -> Path | None:
    return next((part / name for name in MASK_FOLDERS if (part / name).is_dir()), None)


def _masks(part: Path) -> dict[Path, Path]:
    """The mask of each image, which is named without its suffix."""
    folder = _mask_folder(part)
    if folder is None:
        return {}
    masks: dict[Path, Path] = {}
    for path in files_in(folder, again=True):  # images of several lights may share masks by links
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        key = part / IMAGES / path.relative_to(folder).with_suffix("")
        first = masks.setdefault(key, path)
        if first != path:
            raise DataError(f"{path}: has the image of {first.name}; take one of the two masks out")
    return masks


def _refuse_unread(root: Path, part: Path, samples: list[Sample]) -> None:
    """Refuse an image without a mask that another file or folder seems to have one for.

    Raises:
        DataError: there is one; it would be taught as good.
    """
    read = [part / name for name in MASK_FOLDERS if (part / name).is_dir()]
    named = [folder for folder in sorted(part.glob("*/")) if LABELS.search(folder.name)]
    others = read or named
    unread = {
        part / IMAGES / path.relative_to(folder).with_suffix(""): path
        for folder in others
        for path in (images_in if folder in read[1:] else files_in)(folder)
    }
    for folder in (folder for folder in named if folder not in others):
        texts = (path for path in files_in(folder) if path.suffix == TEXT and is_label(path))
        unread |= {part / IMAGES / t.relative_to(folder).with_suffix(""): t for t in texts}
    for sample in samples:
        path = unread.get(sample.image.with_suffix(""))
        if path and sample.drawing is None:
            yolo = f"read texts of YOLO by {root}::yolo, " if path.suffix == TEXT else ""
            raise DataError(
                f"{path}: has the name of an image and is not read, so the image would count as "
                f"good; {yolo}save its mask as PNG in {part / MASK_FOLDERS[0]}, or take the file "
                "out"
            )
    for path in [] if read else (path for folder in others for path in images_in(folder)):
        raise DataError(
            f"{path}: is not read, so an image would count as good; put masks into "
            f"{part / MASK_FOLDERS[0]}, each named as its image, or take them out"
        )


def _indexed(root: Path, pixels: list[Counts]) -> bool:
    """Whether masks hold class indices: one has a 2 or more, or they are named and none has 255."""
    if any(counts[2:WHITE].any() for counts in pixels):
        return True
    return (root / NAMES_FILE).is_file() and not any(counts[WHITE] for counts in pixels)


def _classes(mask: Path, counts: Counts, *, indexed: bool) -> list[int]:
    """The class indices in a mask, that with the most pixels first; none where it is empty."""
    if not indexed:
        return [1] if counts[1:].any() else []
    if counts[WHITE]:
        read_indices(mask)  # which says what is wrong
    return sorted((int(k) for k in np.flatnonzero(counts[1:]) + 1), key=lambda k: -counts[k])


def _no_names(root: Path) -> tuple[str, ...]:
    """The one class of masks of 0 and 255; several that are written down would be lost."""
    names = [name for name in _written_names(root) if not BACKGROUND.fullmatch(name)]
    if len(names) > 1:
        raise DataError(
            f"{root / NAMES_FILE}: names {len(names)} classes, but the masks are 0 and 255; save "
            "masks of class indices, or take the file out"
        )
    return (DEFECT,)


def _names(root: Path, highest: int) -> tuple[str, ...]:
    path, names = root / NAMES_FILE, _written_names(root)
    if not path.is_file():
        return numbered_classes(highest)
    if names and BACKGROUND.fullmatch(names[0]):
        raise DataError(
            f"{path}: begins with '{names[0]}', expected the class of index 1; take that line out"
        )
    if len(names) < highest:
        raise DataError(
            f"{path}: names {len(names)} classes, the masks have an index {highest}; "
            "write a name a line, the first for index 1"
        )
    return names


def _written_names(root: Path) -> tuple[str, ...]:
    path = root / NAMES_FILE
    if not path.is_file():
        return ()
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    names = tuple(line.strip() for line in text.rstrip().splitlines())
    if "" in names:
        raise DataError(
            f"{path}:{names.index('') + 1}: is empty; write the name of that class there, or take "
            "the line out"
        )
    return names


def _refuse_strays(root: Path, samples: list[Sample]) -> None:
    without = [sample.name for sample in samples if not sample.split]
    if without and len(without) < len(samples):
        raise DataError(
            f"{root / without[0]}: lies in none of the folders {SPLITS}, others do; move it there"
        )
