"""Changes training images as a surface before a camera may change, and their masks with them.

- flips: a surface has no up or down;
- a turn of up to 10 degrees, a thirteenth of shift, 15 % of size: parts never lie the same way;
- a slope of light, brightness and contrast: lamps age and shine from one side;
- blur and noise: the focus drifts, the sensor is warm.
"""

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

DEGREES, SHIFT, SIZE = 10.0, 0.075, 0.15
# Of the sides, mirrored around the image, so that no turn shows a black corner. A turn of a long
# image is less: by as much as its sides differ, which keeps what this needs to be the same.
MARGIN = 0.28
Pair = tuple[Tensor, Tensor]


class Augmentation:
    """Takes an image (C, H, W) and coverages (K, H, W), uint8 both, and gives them changed.

    A mask moves by whole pixels and is never blended, so its defects keep their full coverage.
    Without `everything`, flips and a little light alone, to compare with.
    """

    def __init__(self, *, everything: bool = True) -> None:
        self._everything = everything
        self._flip = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()])
        self._plain_light = v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.5)
        self._light = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.8),
                v2.ToDtype(torch.float32),
                v2.RandomApply([v2.Lambda(_slope)], p=0.5),
                v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.2))], p=0.3),
                v2.RandomApply([v2.Lambda(_noise)], p=0.5),
            ]
        )

    def __call__(self, image: Tensor, coverage: Tensor) -> Pair:
        """Another look at the same surface; a defect that it shows stays in the picture."""
        image, coverage = self._flip(tv_tensors.Image(image), tv_tensors.Mask(coverage))
        if not self._everything:
            lit = self._plain_light(image)
            return lit.as_subclass(Tensor), coverage.as_subclass(Tensor)
        if torch.rand(()) < 0.8:  # noqa: PLR2004
            moved = self._moved(image, coverage)
            if torch.equal(_classes(moved[1]), _classes(coverage)):
                image, coverage = moved
        lit = self._light(image).clamp(0, 255).round().to(torch.uint8)
        return lit.as_subclass(Tensor), coverage.as_subclass(Tensor)

    def _moved(self, image: Tensor, coverage: Tensor) -> Pair:
        height, width = image.shape[-2:]
        margin = [round(MARGIN * width), round(MARGIN * height)]
        padded = (v2.functional.pad(x, margin, padding_mode="reflect") for x in (image, coverage))
        shift = SHIFT / (1 + 2 * MARGIN)  # of the padded sides
        move = v2.RandomAffine(
            DEGREES * min(height, width) / max(height, width),
            (shift, shift),
            (1 - SIZE, 1 + SIZE),
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        moved = move(*padded)
        image, coverage = (v2.functional.center_crop(x, [height, width]) for x in moved)
        return image, coverage


def _classes(coverage: Tensor) -> Tensor:
    return coverage.flatten(1).any(1)


def _slope(image: Tensor) -> Tensor:
    """Up to a quarter brighter on one side and darker on the other."""
    height, width = image.shape[-2:]
    down, right = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    slope = 0.5 * torch.randn(2)
    return image * (1 + 0.25 * (slope[0] * down + slope[1] * right).clamp(-1, 1))


def _noise(image: Tensor) -> Tensor:
    """Gaussian, of up to eight grey levels."""
    return image + 8 * torch.rand(()) * torch.randn_like(image)
