"""KolektorSDD: a folder for each object, `kos01/Part0.jpg` beside `kos01/Part0_label.bmp`.

Every image has a mask, black where the part is good. No split is given; the images of one folder
show one object, so they are a group.
"""

from pathlib import Path

from train.readers.image_files import images_in, masks_beside, name_in, sample_with_mask
from train.sample import DEFECT, Listing

MASK_ENDING = "_label.bmp"


def detects(root: Path) -> bool:
    """Whether the folder `root` has this layout."""
    return any(root.glob(f"*/*{MASK_ENDING}"))


def read(root: Path) -> Listing:
    """The samples, by name.

    Raises:
        DataError: an image without a mask, or a mask without an image or that cannot be read.
    """
    samples = (
        sample_with_mask(root, image, mask, "", group=name_in(root, image.parent))
        for image, mask in masks_beside(images_in(root), MASK_ENDING).items()
    )
    return Listing(tuple(samples), (DEFECT,))
