"""labelme: a JSON file beside each labelled image; an image without one is good.

Masks that were exported, in a `masks/` or `annotations/` without labelled images, are passed over.
Classes are the labels, sorted. Folders named as a split, anywhere above the image, give it.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from runtime.errors import DataError
from runtime.images import read_image
from train.drawing import largest_class
from train.readers.folders import MASK_FOLDERS
from train.readers.image_files import (
    BAD,
    files_in,
    images_in,
    name_in,
    refuse_bad,
    sample_of,
    split_named,
)
from train.readers.json_file import mentions, read_json
from train.readers.shapes import LabelledShape, Shapes
from train.sample import GOOD, Listing, Sample

KEYS = ("shapes", "imagePath")
EXPORTED = ("SegmentationClass", "SegmentationObject")  # by labelme's own programs
IGNORED = "__ignore__"  # as labelme's own exports have it


class Labelling(msgspec.Struct, rename="camel"):
    """The part of a labelme file that is needed."""

    shapes: list[LabelledShape]
    image_path: str
    image_height: int
    image_width: int
    flags: Any = None


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return any(mentions(path, KEYS) for path in _files(root))


def read(root: Path) -> Listing:
    """The samples, by name.

    Raises:
        DataError: a wrong field, a shape that cannot be drawn, two files for one image, or an
            image without a file that seems to be defective.
    """
    labelled = _labellings(root)
    labels = {shape.name() for _, found in labelled.values() for shape in found.shapes}
    names = tuple(sorted(labels))
    found = [image.relative_to(root) for image in images_in(root)]
    labelling = {Path(name).parent for name in labelled}
    exported = {f.parent for f in found if f.name == "label.png" and f.parent.name[-5:] == "_json"}
    images = {
        f.as_posix()
        for f in found
        if f.parent in labelling or not (_of_masks(f) or f.parent in exported)
    } | {*labelled}
    drawings = {
        name: _drawing(path, found, names)
        for name, (path, found) in labelled.items()
        if found.shapes
    }
    _refuse_twins(root, labelled, images)
    _refuse_drawn(root, {f.as_posix() for f in found} - images, labelled, images)
    samples = [_sample(root, name, drawings.get(name), names) for name in sorted(images)]
    refuse_bad((s for s in samples if s.name not in labelled), "a file without shapes")
    return Listing(tuple(samples), names)


def _of_masks(image: Path) -> bool:
    return any(
        folder.lower() in MASK_FOLDERS or folder.startswith(EXPORTED) for folder in image.parts[:-1]
    )


def _files(root: Path) -> list[Path]:
    return [path for path in files_in(root) if path.suffix.lower() == ".json"]


def _labellings(root: Path) -> dict[str, tuple[Path, Labelling]]:
    """(file, what it says) by the name of the image."""
    labelled: dict[str, tuple[Path, Labelling]] = {}
    images = {image.with_suffix(""): image for image in images_in(root)}
    for path in _files(root):
        beside = images.get(path.with_suffix(""))
        if beside and not mentions(path, KEYS) and _is_damaged(path):
            raise DataError(
                f"{path}: is no labelme file, so {beside.name} would count as good; restore it, or "
                "take it out"
            )
        if mentions(path, KEYS):
            labelling = read_json(path, Labelling)
            image = path.parent / labelling.image_path.replace("\\", "/")
            _refuse_ignored(path, labelling)
            _refuse_flagged(path, labelling)
            _refuse_another(path, image, beside)
            before = labelled.setdefault(name_in(root, image), (path, labelling))
            if before[0] != path:
                raise DataError(
                    f"{path}: labels the same image as {before[0].name}; take one of them out"
                )
    return labelled


def _is_damaged(path: Path) -> bool:
    """Whether a file that does not have all of `KEYS` may have been one of labelme."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return isinstance(content, dict) and any(key in content for key in KEYS)


def _refuse_ignored(path: Path, labelling: Labelling) -> None:
    if IGNORED in {shape.name() for shape in labelling.shapes}:
        raise DataError(
            f"{path}: shape '{IGNORED}' does not say what is there, so it cannot be learned; call "
            "it a defect, or take it out, or the image"
        )


def _refuse_flagged(path: Path, labelling: Labelling) -> None:
    flags = labelling.flags if isinstance(labelling.flags, dict) else {}
    bad = next(filter(BAD.fullmatch, (name for name, is_set in flags.items() if is_set)), None)
    if bad and not labelling.shapes:
        raise DataError(
            f"{path}: has the flag '{bad}' and no shape, so it would count as good; outline the "
            "defect, or list the set in a split.csv, where it has label 1 and no mask"
        )


def _refuse_another(path: Path, image: Path, beside: Path | None) -> None:
    """Refuse a file that names an image elsewhere, while one of its own name lies `beside` it.

    Raises:
        DataError: that one would be taught as good.
    """
    if beside and os.path.realpath(image.with_suffix("")) != os.path.realpath(
        beside.with_suffix("")
    ):
        raise DataError(
            f"{path}: imagePath leads to {image}, while {beside.name} lies beside it; "
            "mend imagePath, or take that image out"
        )


def _refuse_twins(root: Path, labelled: Iterable[str], images: Iterable[str]) -> None:
    """Refuse an image without a file, where one of its name and another suffix has one.

    Raises:
        DataError: that one's defect would be taught as good.
    """
    twin_of = {Path(name).with_suffix(""): name for name in labelled}
    for name in sorted({*images} - {*labelled}):
        if twin := twin_of.get(Path(name).with_suffix("")):
            raise DataError(
                f"{root / name}: is not labelled, {Path(twin).name} beside it is; "
                "take one of the two images out"
            )


def _refuse_drawn(
    root: Path, masks: Iterable[str], labelled: Iterable[str], images: Iterable[str]
) -> None:
    """Refuse an image without a file whose mask, in a folder beside, shows a defect.

    Raises:
        DataError: there is one; it would be taught as good.
    """
    image_at = {}
    for name in (*map(Path, {*images} - {*labelled}), *map(Path, labelled)):
        image_at[name.parent / name.stem] = image_at[name.parent.parent / name.stem] = name
    for name in map(Path, sorted(masks)):
        image = image_at.get(name.parent.parent / name.stem)
        if image and image.as_posix() not in labelled and read_image(root / name, 1).any():
            raise DataError(
                f"{root / image}: has no labelme file, but {name} seems to show its defect; label "
                "it too, or take that file out"
            )


def _drawing(path: Path, labelling: Labelling, names: tuple[str, ...]) -> Shapes:
    recorded = (labelling.image_height, labelling.image_width)
    shapes = tuple((names.index(shape.name()) + 1, shape) for shape in labelling.shapes)
    return Shapes(path, recorded, shapes)


def _sample(root: Path, name: str, drawing: Shapes | None, names: tuple[str, ...]) -> Sample:
    kind = names[largest_class(drawing.areas()) - 1] if drawing else GOOD
    return sample_of(root, root / name, drawing, kind, split_named(Path(name).parts[:-1]))
