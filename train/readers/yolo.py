"""YOLO: a text file for each image, in it a line for each defect: its class, its outline or box.

Of ultralytics and Roboflow, whose `labels/` stands where an image's path says `images/`, or of
darknet, where the text lies beside the image. An image without a text, or with an empty one, is
good. A box does not say which of its pixels are defective: an image with a box is known as
defective, not where.

The names of classes are in a YAML file of the folder, else in a `classes.txt` or `obj.names`. The
YAML file gives the split too; else the folders' names do.
"""

import re
from pathlib import Path

import msgspec

from runtime.errors import DataError
from runtime.images import IMAGE_SUFFIXES
from train.drawing import largest_class
from train.readers.folders import IMAGES, MASK_FOLDERS, NAMES_FILE
from train.readers.image_files import files_in, name_in, refuse_bad, sample_of, split_named
from train.readers.yolo_labels import TEXT, Mark, Outlines, is_label, lines_of, marks_in
from train.sample import GOOD, NO_DEFECTS, SPLITS, Listing

LABELS = "labels"
NAMES = re.compile(rb"^names\s*:", re.MULTILINE)
NAMES_FILES = {NAMES_FILE, "obj.names"}


class DataFile(msgspec.Struct):
    """The part of a YAML file that is needed."""

    names: dict[int, str | int] | list[str | int]
    train: str | list[str] | None = None
    val: str | list[str] | None = None
    test: str | list[str] | None = None


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout: masks, where there are any, say more."""
    files = files_in(root)
    images = (path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if any({*MASK_FOLDERS} & {*path.relative_to(root).parts[:-1]} for path in images):
        return False
    return any(text and is_label(text) for text in _text_of(root, files).values())


def read(root: Path) -> Listing:
    """The samples, by name.

    Raises:
        DataError: a wrong line, a class without a name, a text of labels without an image, or an
            image without a text in a folder that is called bad.
    """
    files = files_in(root)
    text_of = _text_of(root, files)
    marks = {text: marks_in(text) for text in text_of.values() if text}
    _refuse_orphans(sorted({path for path in files if path.suffix == TEXT} - {*marks}))
    about = _data_file(root)
    names = _names(files, about, marks)
    split_of = _given_splits(root, about)
    firsts: dict[Path, str] = {}  # of the images that share a text
    samples = []
    for image, text in text_of.items():
        drawing, kind = _truth(text, marks[text], names) if text else (None, GOOD)
        above = (split_of[place] for place in (image, *image.parents) if place in split_of)
        split = next(above, "") or split_named(image.relative_to(root).parts[:-1])
        first = firsts.setdefault(text or image, name_in(root, image))
        samples.append(sample_of(root, image, drawing, kind, split, first))
    refuse_bad((s for s in samples if not text_of[s.image]), "an empty text")
    return Listing(tuple(samples), tuple(names.values()))


def _text_of(root: Path, files: list[Path]) -> dict[Path, Path | None]:
    """The text of each image, which need not have one."""
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    in_folders = [path for path in images if IMAGES in path.relative_to(root).parts[:-1]]
    texts = {path for path in files if path.suffix == TEXT}
    found: dict[Path, Path | None] = {}
    for image in in_folders or images:
        places = (_among_labels(root, image), image.with_suffix(TEXT))
        found[image] = next((place for place in places if place in texts), None)
    return found


def _among_labels(root: Path, image: Path) -> Path:
    """Where ultralytics has its text: `labels` stands for the last `images` of its path."""
    parts = list(image.relative_to(root).parts)
    for k in reversed(range(len(parts) - 1)):
        if parts[k] == IMAGES:
            parts[k] = LABELS
            break
    return root.joinpath(*parts).with_suffix(TEXT)


def _refuse_orphans(texts: list[Path]) -> None:
    for text in filter(is_label, texts):
        raise DataError(
            f"{text}: has labels, but no image has its name; restore the image, or take the text "
            "out"
        )


def _data_file(root: Path) -> DataFile | None:
    """What the YAML file with `names` says, if there is one."""
    files = [path for path in sorted(root.glob("*.y*ml")) if NAMES.search(path.read_bytes())]
    if len(files) > 1:
        raise DataError(f"{files[1]}: names classes as {files[0].name} does; take one of them out")
    try:
        return msgspec.yaml.decode(files[0].read_bytes(), type=DataFile) if files else None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        said = " ".join(str(fault).split())
        raise DataError(f"{files[0]}: {said}; mend it, or take it out") from fault


def _names(
    files: list[Path], about: DataFile | None, marks: dict[Path, list[Mark]]
) -> dict[int, str]:
    """The name of each class by its number in the texts; not one called good that none has."""
    used = {mark.index: (text, mark.line) for text, found in marks.items() for mark in found}
    names = _written(about) if about else _listed(files)
    names = names or {index: f"class {index}" for index in range(max(used, default=0) + 1)}
    for index, (text, line) in used.items():
        if index not in names:
            raise DataError(
                f"{text}:{line}: is of class {index}, the names are those of {list(names)}; name "
                "it with them, or export the set anew"
            )
    return {k: name for k, name in names.items() if k in used or name.lower() not in NO_DEFECTS}


def _written(about: DataFile) -> dict[int, str]:
    given = about.names if isinstance(about.names, dict) else dict(enumerate(about.names))
    return {index: str(given[index]).strip() for index in sorted(given)}


def _listed(files: list[Path]) -> dict[int, str]:
    """The names in `classes.txt` or `obj.names`, one a line."""
    listed = {
        path: [line.strip() for line in "\n".join(lines_of(path)).rstrip().splitlines()]
        for path in files
        if path.name in NAMES_FILES
    }
    first = next(iter(listed), None)
    for path, names in listed.items():
        if first and names != listed[first]:
            raise DataError(f"{path}: names other classes than {first}; take one of the two out")
    return dict(enumerate(listed[first])) if first else {}


def _given_splits(root: Path, about: DataFile | None) -> dict[Path, str]:
    """The split of each folder or image that the YAML file names."""
    split_of: dict[Path, str] = {}
    for split in SPLITS if about else ():
        said = getattr(about, split) or []
        for entry in [said] if isinstance(said, str) else said:
            place = _below(root, entry)
            if place and place.suffix == TEXT:
                images = (_below(root, line.strip()) for line in lines_of(place))
                split_of |= {image: split for image in images if image and image not in split_of}
            elif place:
                split_of.setdefault(place, split)
    return split_of


def _below(root: Path, entry: str) -> Path | None:
    """The file or folder that `entry` names on the machine where it was written."""
    parts = [part for part in Path(entry.replace("\\", "/")).parts if part not in {"..", "/"}]
    places = (root.joinpath(*parts[k:]) for k in range(len(parts)))
    return next((place for place in places if place.exists()), None)


def _truth(text: Path, marks: list[Mark], names: dict[int, str]) -> tuple[Outlines | None, str]:
    """What is drawn, and the kind: of an image with a box, nothing is."""
    if not marks:
        return None, GOOD
    kind = names[largest_class((mark.index, mark.area()) for mark in marks)]
    if any(mark.is_box() for mark in marks):
        return None, kind
    order = list(names)
    return Outlines(text, tuple((order.index(mark.index) + 1, mark) for mark in marks)), kind
