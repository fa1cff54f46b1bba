"""A category of MVTec AD: `train/good/`, `test/good/`, `test/<defect>/`, `ground_truth/<defect>/`.

The mask of `test/crack/000.png` is `ground_truth/crack/000_mask.png`, or has the name of the image
as in many sets of this layout; classes are the defects' folders, sorted. The published split
teaches good images only, and has all the defects in its test; it is passed over, so that one with
defects on every side is made.
"""

from collections.abc import Iterator
from pathlib import Path

from train.drawing import MaskFile
from train.readers.image_files import images_in, refuse_orphans, refuse_whole, sample_of
from train.sample import GOOD, Listing, Sample

MASK_ENDING = "_mask"


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout, or holds folders that have."""
    return _is_category(root) or bool(_categories(root))


def read(root: Path) -> Listing:
    """The samples: the good ones, then each defect's, by name.

    Raises:
        DataError: the folder of all categories, or a mask without an image.
    """
    refuse_whole(root, _categories(root), "categories")
    folders = sorted(folder for folder in (root / "test").glob("[!.]*") if folder.is_dir())
    names = tuple(folder.name for folder in folders if folder.name != GOOD)
    good = [*images_in(root / "train" / GOOD), *images_in(root / "test" / GOOD)]
    samples = [sample_of(root, image, None, GOOD, "") for image in good]
    for index, name in enumerate(names, start=1):
        samples.extend(_defective(root, name, index))
    masks = {sample.drawing.file() for sample in samples if sample.drawing}
    refuse_orphans(sorted(set(images_in(root / "ground_truth")) - masks))
    return Listing(tuple(samples), names)


def _defective(root: Path, name: str, index: int) -> Iterator[Sample]:
    folder = root / "ground_truth" / name
    for image in images_in(root / "test" / name):
        named = (folder / f"{image.stem}{ending}.png" for ending in ("", MASK_ENDING))
        mask = next(filter(Path.is_file, named), folder / f"{image.stem}{MASK_ENDING}.png")
        yield sample_of(root, image, MaskFile(mask, index), name, "")


def _is_category(folder: Path) -> bool:
    return (folder / "train" / GOOD).is_dir() and (folder / "ground_truth").is_dir()


def _categories(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.glob("*") if _is_category(folder))
