"""COCO JSON: images, annotations and categories, by polygons or run lengths.

The JSON files of the folder, of `annotations/` and of folders named as a split (Roboflow: `train/`,
`valid/`, `test/`); the name of a file, else that of its folder, gives the split. An image lies
beside its JSON file, in the folder, in `images/`, or in `<split>/` or `<split>2017/` of those two,
or in the one that has the file's name (CVAT: `instances_line3.json`, `images/line3/`).
An image without annotations is good, one that no file lists is passed over. A box does not say
which of its pixels are defective: an image with a box and no segmentation is known as defective,
not where.

Classes are the categories by id. A category that no annotation has, and that is the supercategory
of another, is none: Roboflow writes one with id 0. Nor is one called good that none has.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from runtime.errors import DataError
from train.drawing import largest_class
from train.readers.image_files import SPLIT_OF_FOLDER, refuse_bad, sample_of
from train.readers.json_file import mentions, read_json
from train.readers.segments import Segmentation, Segments, runs_of
from train.sample import GOOD, NO_DEFECTS, Listing, Sample

KEYS = ("images", "annotations")


class ImageRecord(msgspec.Struct):
    """An image of a COCO file."""

    id: int | str
    file_name: str
    height: int
    width: int


class Annotation(msgspec.Struct):
    """A defect of a COCO file."""

    image_id: int | str
    category_id: int
    id: int | str | None = None
    bbox: tuple[float, float, float, float] | None = None
    segmentation: Segmentation | None = None

    def box_area(self) -> float:
        """In square pixels; 0 without a box."""
        return self.bbox[2] * self.bbox[3] if self.bbox else 0.0


class Category(msgspec.Struct):
    """A class of a COCO file."""

    id: int
    name: str
    supercategory: str | None = None


class Coco(msgspec.Struct):
    """The part of a COCO file that is needed."""

    images: list[ImageRecord]
    annotations: list[Annotation]
    categories: list[Category]


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return bool(_files(root))


def read(root: Path) -> Listing:
    """The samples, file by file, in their order.

    Raises:
        DataError: a wrong field, an image that is not found or listed twice, an annotation with
            neither segmentation nor box, files with different categories, or an image without
            annotations in a folder that is called bad.
    """
    files = {path: read_json(path, Coco) for path in _files(root)}
    if not files:
        raise DataError(f"{root}: holds no COCO file; expected JSON with images and annotations")
    names = _class_names(files)
    samples: dict[str, Sample] = {}
    for path, coco in files.items():
        for sample in _samples(root, path, coco, names):
            if sample.name in samples:
                raise DataError(
                    f"{path}: lists '{sample.name}' a second time; take one of the two out"
                )
            samples[sample.name] = sample
    refuse_bad(samples.values(), "move it elsewhere")
    return Listing(tuple(samples.values()), names)


def _files(root: Path) -> list[Path]:
    splits = [path for path in sorted(root.glob("*")) if path.name.lower() in SPLIT_OF_FOLDER]
    folders = [root, root / "annotations", *splits]
    found = (path for folder in folders for path in sorted(folder.glob("*.[jJ][sS][oO][nN]")))
    return [path for path in found if mentions(path, KEYS)]


def _class_names(files: dict[Path, Coco]) -> tuple[str, ...]:
    unused = _unused_supercategories(files.values())
    names_of = {path: _sorted_names(coco, unused) for path, coco in files.items()}
    first, names = next(iter(names_of.items()))
    for path, others in names_of.items():
        if set(others) != set(names):
            raise DataError(
                f"{path}: categories are {list(others)}, those of {first.name} are {list(names)}; "
                "export all the files from one project"
            )
    return names


def _sorted_names(coco: Coco, unused: set[str]) -> tuple[str, ...]:
    categories = sorted(coco.categories, key=lambda category: category.id)
    return tuple(dict.fromkeys(c.name for c in categories if c.name not in unused))


def _unused_supercategories(files: Iterable[Coco]) -> set[str]:
    above: set[str] = set()  # and those of what is good
    used: set[str] = set()
    for coco in files:
        ids = {annotation.category_id for annotation in coco.annotations}
        used |= {category.name for category in coco.categories if category.id in ids}
        above |= {c.name for c in coco.categories if c.name.strip().lower() in NO_DEFECTS}
        above |= {c.supercategory for c in coco.categories if c.supercategory not in {c.name, None}}
    return above - used


def _samples(root: Path, path: Path, coco: Coco, names: tuple[str, ...]) -> Iterable[Sample]:
    split = _split_of(path.relative_to(root))
    places = _places(root, path, split)
    annotations = _by_image(path, coco)
    index_of = {c.id: names.index(c.name) + 1 for c in coco.categories if c.name in names}
    for image in coco.images:
        file = _file_of(path, image, places)
        found = annotations[image.id]
        if not found:
            yield sample_of(root, file, None, GOOD, split)
            continue
        indexed = [(_index(path, image, each, index_of), each) for each in found]
        drawing = _drawing(path, image, indexed)
        areas = drawing.areas() if drawing else [(k, each.box_area()) for k, each in indexed]
        yield sample_of(root, file, drawing, names[largest_class(areas) - 1], split)


def _by_image(path: Path, coco: Coco) -> dict[int | str, list[Annotation]]:
    known = Counter(image.id for image in coco.images)
    if twice := [number for number, count in known.items() if count > 1]:
        raise DataError(f"{path}: has two images of id {twice[0]}; export the file anew")
    annotations: dict[int | str, list[Annotation]] = defaultdict(list)
    for annotation in coco.annotations:
        if annotation.image_id not in known:
            raise DataError(
                f"{path}: annotation {annotation.id} is of image {annotation.image_id}, which is "
                "not listed; export the file anew"
            )
        annotations[annotation.image_id].append(annotation)
    return annotations


def _index(path: Path, image: ImageRecord, annotation: Annotation, index_of: dict[int, int]) -> int:
    if annotation.category_id not in index_of:
        raise DataError(
            f"{_where(path, image, annotation)} has category {annotation.category_id}, expected "
            f"one of {sorted(index_of)}; export the file anew"
        )
    return index_of[annotation.category_id]


def _drawing(
    path: Path, image: ImageRecord, annotations: list[tuple[int, Annotation]]
) -> Segments | None:
    """Of an image with an annotation that is a mere box, nothing."""
    shape = (image.height, image.width)
    parts = []
    for index, annotation in annotations:
        where = _where(path, image, annotation)
        if annotation.segmentation:
            parts.append((index, runs_of(annotation.segmentation, shape, where)))
        elif not annotation.bbox:
            raise DataError(
                f"{where} has no segmentation and no box; draw the defect's outline, and export "
                "it as a segmentation"
            )
    complete = len(parts) == len(annotations)
    return Segments(path, image.file_name, shape, tuple(parts)) if complete else None


def _where(path: Path, image: ImageRecord, annotation: Annotation) -> str:
    return f"{path}: annotation {annotation.id} of '{image.file_name}'"


def _split_of(path: Path) -> str:
    for name in (path.stem, path.parent.name):
        words = re.findall("[a-z]+", name.lower())
        found = {SPLIT_OF_FOLDER[word] for word in words if word in SPLIT_OF_FOLDER}
        if len(found) == 1:
            return found.pop()
    return ""


def _places(root: Path, path: Path, split: str) -> list[Path]:
    """The folders where an image may lie, in the order in which they are looked through."""
    above = (root, root / "images")
    of_split = [name for name, of in SPLIT_OF_FOLDER.items() if of == split]
    subset = path.stem.lower().removeprefix("instances_")  # as CVAT names both
    names = [subset, *(name + year for name in of_split for year in ("", "2017"))]
    below = [folder for place in above for folder in sorted(place.glob("*/"))]
    named = (folder for name in names for folder in below if folder.name.lower() == name)
    return [place for place in dict.fromkeys((path.parent, *named, *above)) if place.is_dir()]


def _file_of(path: Path, image: ImageRecord, places: list[Path]) -> Path:
    for place in places:
        for name in (image.file_name, image.file_name.replace("\\", "/")):  # of Windows
            if (place / name).is_file():
                return place / name
    raise DataError(
        f"{path}: image '{image.file_name}' is in none of {', '.join(map(str, places))}; "
        "put it there, or take it out of the file"
    )
