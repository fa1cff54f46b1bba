"""Changes training images as a surface before a camera may change, and their masks with them.

- flips: a surface has no up or down;
- a turn of up to 30 degrees, a tenth of shift, 30 % of size: parts never lie the same way;
- a slope of light, brightness and contrast: lamps age and shine from one side;
- blur and noise: the focus drifts, the sensor is warm.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms import v2

DEGREES, SHIFT, SIZE = 30.0, 0.1, 0.3
KEPT = 1 / 3  # of a defect's area, at least, where a move takes it out of the picture
Planes = npt.NDArray[np.uint8]
Pair = tuple[Tensor, Tensor]


class Augmentation:
    """Takes an image (C, H, W) and coverages (K, H, W), uint8 both, and gives them changed.

    A coverage moves as the image does, between the pixels, so a border stays where it is seen.
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
                v2.RandomApply([v2.Lambda(_blur)], p=0.3),
                v2.RandomApply([v2.Lambda(_noise)], p=0.5),
            ]
        )

    def __call__(self, image: Tensor, coverage: Tensor, *, may_move: bool = True) -> Pair:
        """Another look at the same surface; a defect that it shows stays, for the most part.

        One that is not drawn stays only if it is not moved: not `may_move`.
        """
        channels = len(image)
        both = self._flip(torch.cat((image, coverage)))
        image, coverage = both[:channels], both[channels:]
        if not self._everything:
            return self._plain_light(image), coverage
        if torch.rand(()) < 0.8 and may_move:  # noqa: PLR2004
            moved = _moved(both)
            if (KEPT * _areas(coverage) <= _areas(moved[channels:])).all():
                image, coverage = moved[:channels], moved[channels:]
        return self._light(image).clamp(0, 255).round().to(torch.uint8), coverage


def _moved(planes: Tensor) -> Tensor:
    """Turned, shifted and sized, mirrored where the image ends, so that no corner is black.

    A long image turns less: by as much as its sides differ.
    """
    height, width = planes.shape[-2:]
    turn, right, down, size = (2 * torch.rand(4) - 1).tolist()
    degrees = turn * DEGREES * min(height, width) / max(height, width)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1 + SIZE * size)
    matrix[:, 2] += right * SHIFT * width, down * SHIFT * height
    return torch.from_numpy(warped(planes.numpy(), matrix, cv2.BORDER_REFLECT_101))


def warped(planes: Planes, matrix: cv2.typing.MatLike, border: int) -> Planes:
    """The planes (C, H, W) moved by an affine matrix, between the pixels; `border` is OpenCV's."""
    height, width = planes.shape[1:]
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
    moved = cv2.warpAffine(pixels, matrix, (width, height), borderMode=border)
    return np.ascontiguousarray(moved.reshape(height, width, -1).transpose(2, 0, 1), np.uint8)


def _areas(coverage: Tensor) -> Tensor:
    return coverage.flatten(1).sum(1)


def _slope(image: Tensor) -> Tensor:
    """Up to a quarter brighter on one side and darker on the other."""
    height, width = image.shape[-2:]
    down, right = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    slope = 0.5 * torch.randn(2)
    return image * (1 + 0.25 * (slope[0] * down + slope[1] * right).clamp(-1, 1))


def _blur(image: Tensor) -> Tensor:
    """By 0.3 to 1.2 pixels; an image of a line or two has no pixels around it to blur with."""
    return v2.GaussianBlur(5, (0.3, 1.2))(image) if min(image.shape[-2:]) > 2 else image  # noqa: PLR2004


def _noise(image: Tensor) -> Tensor:
    """Gaussian, of up to eight grey levels."""
    return image + 8 * torch.rand(()) * torch.randn_like(image)
