"""KolektorSDD2: `train/10000.png` beside `train/10000_GT.png`, and `test/` likewise.

Every image has a mask, black where the part is good. Train and test are given. The published
archive holds one pair twice, byte for byte, as `10301 (copy).png` and `10301_GT (copy).png`: such
names are passed over.
"""

from pathlib import Path

from train.readers.image_files import images_in, masks_beside, sample_with_mask
from train.sample import DEFECT, SPLITS, Listing, Sample

MASK_ENDING = "_GT.png"
COPY_ENDING = " (copy)"


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return any((root / "train").glob(f"*{MASK_ENDING}"))


def read(root: Path) -> Listing:
    """The samples, split by split, by name.

    Raises:
        DataError: an image without a mask, or a mask without an image or that cannot be read.
    """
    samples = [sample for split in SPLITS for sample in _samples(root, split)]
    return Listing(tuple(samples), (DEFECT,))


def _samples(root: Path, split: str) -> list[Sample]:
    files = [path for path in images_in(root / split) if not path.stem.endswith(COPY_ENDING)]
    pairs = masks_beside(files, MASK_ENDING).items()
    return [sample_with_mask(root, image, mask, split) for image, mask in pairs]
