"""labelme: a JSON file beside each labelled image; an image without one is good.

Classes are the labels, sorted. Folders named as a split, anywhere above the image, give it.
"""

from pathlib import Path

import msgspec

from runtime.errors import DataError
from train.drawing import largest_class
from train.readers.image_files import SPLIT_OF_FOLDER, images_in, name_in, sample_of
from train.readers.json_file import mentions, read_json
from train.readers.shapes import LabelledShape, Shapes
from train.sample import GOOD, Listing, Sample

KEYS = ("shapes", "imagePath")


class Labelling(msgspec.Struct, rename="camel"):
    """The part of a labelme file that is needed."""

    shapes: list[LabelledShape]
    image_path: str
    image_height: int
    image_width: int


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return any(mentions(path, KEYS) for path in root.rglob("*.json"))


def read(root: Path) -> Listing:
    """The samples, by name.

    Raises:
        DataError: a wrong field, a shape that cannot be drawn, or two files for one image.
    """
    labelled = _labellings(root)
    labels = {shape.label for _, found in labelled.values() for shape in found.shapes}
    names = tuple(sorted(labels))
    images = {*(name_in(root, image) for image in images_in(root)), *labelled}
    drawings = {
        name: _drawing(path, found, names)
        for name, (path, found) in labelled.items()
        if found.shapes
    }
    samples = (_sample(root, name, drawings.get(name), names) for name in sorted(images))
    return Listing(tuple(samples), names)


def _labellings(root: Path) -> dict[str, tuple[Path, Labelling]]:
    """(file, what it says) by the name of the image."""
    labelled: dict[str, tuple[Path, Labelling]] = {}
    for path in sorted(root.rglob("*.json")):
        if mentions(path, KEYS):
            labelling = read_json(path, Labelling)
            image = path.parent / labelling.image_path.replace("\\", "/")
            before = labelled.setdefault(name_in(root, image), (path, labelling))
            if before[0] != path:
                raise DataError(
                    f"{path}: labels the same image as {before[0].name}; take one of them out"
                )
    return labelled


def _drawing(path: Path, labelling: Labelling, names: tuple[str, ...]) -> Shapes:
    recorded = (labelling.image_height, labelling.image_width)
    shapes = tuple((names.index(shape.label) + 1, shape) for shape in labelling.shapes)
    return Shapes(path, recorded, shapes)


def _sample(root: Path, name: str, drawing: Shapes | None, names: tuple[str, ...]) -> Sample:
    kind = names[largest_class(drawing.areas()) - 1] if drawing else GOOD
    folders = [folder for folder in Path(name).parts[:-1] if folder in SPLIT_OF_FOLDER]
    split = SPLIT_OF_FOLDER[folders[-1]] if folders else ""
    return sample_of(root, root / name, drawing, kind, split)
