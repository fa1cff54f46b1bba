"""How visible a defect is: its difference from the surface around it."""

import math

import cv2
import numpy as np
import numpy.typing as npt

RING_PX = 12
CLEARLY_VISIBLE = 3.0


def contrast_to_noise(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> float:
    """|median inside - median around| in robust standard deviations of what is around.

    `image` (H, W) or (H, W, 3) BGR, `mask` (H, W), not empty; around = within 12 pixels, where the
    mask is empty. The deviation is 1.4826 x the median absolute deviation, at least 1 grey level.
    NaN, unknown, where the defect fills the image and nothing is around it.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # noqa: PLR2004
    inside = mask > 0
    kernel = np.ones((2 * RING_PX + 1, 2 * RING_PX + 1), np.uint8)
    ring = (cv2.dilate(inside.astype(np.uint8), kernel) > 0) & ~inside
    if not ring.any():
        return math.nan
    around = grey[ring].astype(np.float64)
    centre = np.median(around)
    noise = max(1.0, 1.4826 * float(np.median(np.abs(around - centre))))
    return float(abs(np.median(grey[inside]) - centre) / noise)
