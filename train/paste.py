"""Pastes a defect onto a good surface: more places for the few defects there are."""

import cv2
import numpy as np
import numpy.typing as npt
import torch

from runtime.images import Image
from train.augment import Planes, warped

MARGIN_PX = 8  # of the donor's surface around its defect, to know the level it stands out from
EDGE_PX = 1.5  # over which the defect fades into its new surface, as a standard deviation
SIZE = 1.5  # a defect comes back as much larger, or smaller
STRENGTH = (0.6, 1.3)  # and stands out as much from its surface as it did, times this


def paste(image: Planes, donor: Planes, drawn: Planes) -> tuple[Planes, Planes]:
    """The good `image` (C, H, W) with the donor's defect at a random place, and its mask (K, H, W).

    `donor` (C, h, w) has the defect where `drawn` (K, h, w) is not 0. The defect takes on
    the level of the new surface, and is turned, sized, and made stronger or fainter. One that is
    larger than the image is left where it is.
    """
    pasted = image.copy()
    coverage = np.zeros((len(drawn), *image.shape[1:]), np.uint8)
    donor, drawn = _turned(donor, drawn)
    y, x = _window(drawn.max(axis=0))
    height, width = y.stop - y.start, x.stop - x.start
    if height > image.shape[1] or width > image.shape[2]:
        return pasted, coverage
    top = int(torch.randint(image.shape[1] - height + 1, ()))
    left = int(torch.randint(image.shape[2] - width + 1, ()))
    place = np.s_[:, top : top + height, left : left + width]
    defect, mask = donor[:, y, x].astype(np.float32), drawn[:, y, x]
    near = cv2.dilate((mask.max(axis=0) > 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    alpha = cv2.GaussianBlur(near.astype(np.float32), (0, 0), EDGE_PX)
    surface = image[place].astype(np.float32)
    weakest, strongest = STRENGTH
    strength = weakest + (strongest - weakest) * float(torch.rand(()))
    standing_out = strength * (defect - _median(defect, near == 0))
    level = _median(surface, np.ones_like(near))
    blended = surface + alpha * (level + standing_out - surface)
    pasted[place] = np.clip(np.round(blended), 0, 255)
    coverage[place] = mask
    return pasted, coverage


def _turned(donor: Planes, drawn: Planes) -> tuple[Planes, Planes]:
    """Both turned about the defect by any angle, mirrored or not, and sized."""
    if torch.rand(()) < 0.5:  # noqa: PLR2004
        donor, drawn = np.flip(donor, 2), np.flip(drawn, 2)
    turn, size = torch.rand(2).tolist()
    rows, columns = np.nonzero(drawn.max(axis=0))
    centre = float(columns.mean()), float(rows.mean())
    matrix = cv2.getRotationMatrix2D(centre, 360 * turn, SIZE ** (2 * size - 1))
    turned = warped(drawn, matrix, cv2.BORDER_CONSTANT)
    if not np.array_equal(turned.any((1, 2)), drawn.any((1, 2))):  # one was too thin to be sized
        return donor, drawn
    # Repeated, not mirrored: a defect at the border would come back beside its mask.
    return warped(donor, matrix, cv2.BORDER_REPLICATE), turned


def _window(drawn: Image) -> tuple[slice, slice]:
    """Rows and columns of the defect with a margin."""
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return _with_margin(rows, drawn.shape[0]), _with_margin(columns, drawn.shape[1])


def _with_margin(places: npt.NDArray[np.intp], length: int) -> slice:
    return slice(max(0, int(places[0]) - MARGIN_PX), min(length, int(places[-1]) + MARGIN_PX + 1))


def _median(planes: npt.NDArray[np.float32], where: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The median of each channel (C, 1, 1) over `where`; over everything where that is nothing."""
    chosen = np.asarray(where, bool)
    pixels = planes[:, chosen] if chosen.any() else planes.reshape(len(planes), -1)
    return np.asarray(np.median(pixels, axis=1), np.float32)[:, None, None]
