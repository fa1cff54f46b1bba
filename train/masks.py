"""Shrinks true masks to the mask head's size without losing a defect."""

import cv2
import numpy as np
import numpy.typing as npt


def target_from_coverage(coverage: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How defective each pixel of an area-averaged mask is, 0 to 1, (H, W) in, the same out.

    That is its coverage, so a border lies where it lay, between the pixels. A component with less
    than half coverage everywhere would vanish: every pixel that it touches is defective.
    """
    _, labels = cv2.connectedComponents((coverage > 0).astype(np.uint8))
    vanished = np.setdiff1d(labels, labels[coverage >= 128])  # noqa: PLR2004 - half of 255
    faint = np.isin(labels, vanished[vanished > 0])
    return np.where(faint, np.float32(1), coverage.astype(np.float32) / 255)
