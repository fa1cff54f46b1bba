"""The image files of a dataset's folder, and the samples that they are."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from runtime.errors import DataError
from runtime.images import IMAGE_SUFFIXES
from train.drawing import Drawing, MaskFile, read_mask_file
from train.sample import DEFECT, GOOD, SPLITS, Sample

SPLIT_OF_FOLDER = {
    **{name: name for name in SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}
BAD = re.compile(
    "bad|ng|nok|nio|not.?(ok|good)|scrap|defect(s|ive)?|anomal(y|ies|ous)|fault(s|y)?"
    "|reject(s|ed)?|fail(s|ed|ures?)?",
    re.IGNORECASE,
)


def files_in(folder: Path, *, again: bool = False) -> list[Path]:
    """All files below `folder`, linked folders too, by path; without those that are hidden.

    A folder that links lead to more than once is read once, or, with `again`, each time.

    Raises:
        OSError: a folder cannot be read; defects drawn there would be taught as good.
    """
    seen: set[str] = set()
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        above = {os.path.realpath(path) for path in Path(place).parents}
        if real in (above if again else seen):
            folders.clear()
            continue
        shown = [name for name in folders if name[0] != "."]
        folders[:] = sorted(shown, key=lambda name: (Path(place, name).is_symlink(), name))
        seen.add(real)
        found.extend(Path(place, name) for name in names if name[0] != ".")
        for name in names:
            if name[0] != "." and Path(place, name).is_symlink():
                Path(place, name).stat()  # a folder's link that leads nowhere counts as a file
    return sorted(found)


def _refuse(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):  # an empty list says that
        raise error


def images_in(folder: Path) -> list[Path]:
    """All image files below `folder`, as `files_in`."""
    return [path for path in files_in(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def split_named(folders: Iterable[str]) -> str:
    """The split that the last of these folder names says, "" where none does."""
    said = [SPLIT_OF_FOLDER[f.lower()] for f in folders if f.lower() in SPLIT_OF_FOLDER]
    return said[-1] if said else ""


def name_in(root: Path, image: Path) -> str:
    """The path of `image` from `root` on, with slashes and no `..` inside."""
    return Path(os.path.relpath(image, root)).as_posix()


def sample_of(
    root: Path, image: Path, drawing: Drawing | None, kind: str, split: str, group: str = ""
) -> Sample:
    """The sample of the file `image`, defective unless its kind is good; a group of its own."""
    name = name_in(root, image)
    return Sample(name, image, drawing, kind != GOOD, kind, split, group or name)


def masks_beside(files: list[Path], ending: str) -> dict[Path, Path]:
    """The mask of each image among `files`: the file beside it that has `ending` for its suffix.

    Raises:
        DataError: a mask without an image.
    """
    masks = {path for path in files if path.name.endswith(ending)}
    images = [path for path in files if path not in masks]
    mask_of = {image: image.with_name(image.stem + ending) for image in images}
    refuse_orphans(sorted(masks - set(mask_of.values())))
    return mask_of


def sample_with_mask(root: Path, image: Path, mask: Path, split: str, group: str = "") -> Sample:
    """The sample of the file `image`, defective where its mask has a pixel.

    Raises:
        DataError: the mask is missing or unreadable.
    """
    kind = DEFECT if read_mask_file(mask).any() else GOOD
    return sample_of(root, image, MaskFile(mask, 1), kind, split, group)


def refuse_orphans(orphans: list[Path]) -> None:
    """Refuse masks that no image goes with.

    Raises:
        DataError: there is one.
    """
    if orphans:
        others = f", nor those of {len(orphans) - 1} others" if len(orphans) > 1 else ""
        raise DataError(
            f"{orphans[0]}: no image has this mask's name{others}; name a mask as its image, or "
            "its defect would be taught as good; without an image, take it out"
        )


def refuse_bad(samples: Iterable[Sample], if_good: str) -> None:
    """Refuse images without a mask in a folder that is called bad; `if_good` mends what is not.

    Raises:
        DataError: there is one; it would be taught as good.
    """
    for sample in samples:
        bad = next(filter(BAD.fullmatch, Path(sample.name).parts[:-1]), None)
        if bad and sample.drawing is None and not sample.defective:
            raise DataError(
                f"{sample.image}: has no mask, so it would count as good, in a folder '{bad}'; "
                f"draw its defect, or {if_good} if it is good, or list the set in a split.csv, "
                "where it has label 1 and no mask"
            )


def refuse_whole(root: Path, parts: list[str], what: str) -> None:
    """Refuse a folder of several datasets, where one of them is wanted.

    Raises:
        DataError: there are such parts.
    """
    if parts:
        raise DataError(
            f"{root}: holds the {what} {', '.join(parts)}, expected one; "
            f"choose it, as in --data {root / parts[0]}"
        )
