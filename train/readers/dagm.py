"""DAGM 2007: `Class1/Train/0576.PNG`, its label `Class1/Train/Label/0576_label.PNG`, and `Test/`.

The folder of all classes, or one class folder. A label image, a coarse ellipse round the defect,
means defective; `Labels.txt` says no more and is passed over. A class's defect has the name of its
folder. Train and test are given.
"""

from collections.abc import Iterator
from pathlib import Path

from runtime.errors import DataError
from train.drawing import MaskFile
from train.readers.image_files import images_in, refuse_orphans, sample_of
from train.sample import GOOD, Listing, Sample

MASK_ENDING = "_label"
SPLITS_OF_FOLDERS = {"Train": "train", "Test": "test"}


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return bool(_class_folders(root))


def read(root: Path) -> Listing:
    """The samples, class by class, those for training first.

    Raises:
        DataError: a label image without an image, or in another folder than `Label`.
    """
    folders = _class_folders(root)
    samples = [
        sample
        for index, folder in enumerate(folders, start=1)
        for part in SPLITS_OF_FOLDERS
        for sample in _samples(root, folder, part, index)
    ]
    return Listing(tuple(samples), tuple(folder.resolve().name for folder in folders))


def _samples(root: Path, folder: Path, part: str, index: int) -> Iterator[Sample]:
    labels = images_in(folder / part / "Label")
    label_of = {path.stem.removesuffix(MASK_ENDING): path for path in labels}
    for image in images_in(folder / part):
        if image.parent.name != "Label":
            if image.parent != folder / part:
                raise DataError(
                    f"{image}: lies below {folder / part}, expected images in it and their labels "
                    "in Label; move it there, or take it out"
                )
            label = label_of.pop(image.stem, None)
            drawing = MaskFile(label, index) if label else None
            kind = folder.resolve().name if label else GOOD
            yield sample_of(root, image, drawing, kind, SPLITS_OF_FOLDERS[part])
    refuse_orphans(sorted(label_of.values()))


def _class_folders(root: Path) -> list[Path]:
    if _is_class(root):
        return [root]
    found = filter(_is_class, root.glob("*"))
    return sorted(found, key=lambda folder: (len(folder.name), folder.name))  # Class10 is last


def _is_class(folder: Path) -> bool:
    return (folder / "Train" / "Label").is_dir()
