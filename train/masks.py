"""Shrinks true masks to the mask head's size without losing a defect."""

import cv2
import numpy as np
import numpy.typing as npt


def target_from_coverage(coverage: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """0 or 1 for each pixel of an area-averaged mask, (H, W) in, the same out.

    A pixel is defective from half coverage on. A component that would vanish altogether, being
    thinner than a pixel, keeps every pixel that it touches.
    """
    target = coverage >= 128  # noqa: PLR2004 - half of 255
    _, labels = cv2.connectedComponents((coverage > 0).astype(np.uint8))
    vanished = np.setdiff1d(labels, labels[target])
    target |= np.isin(labels, vanished[vanished > 0])
    return target.astype(np.float32)
