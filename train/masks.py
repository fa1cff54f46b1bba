"""Shrinks true masks to the mask head's size without losing a defect."""

import cv2
import numpy as np
import numpy.typing as npt


def target_from_coverage(coverage: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How defective each pixel of an area-averaged mask is, 0 to 1, (H, W) in, the same out.

    That is its coverage, so a border lies where it lay, between the pixels; of a component that
    covers no pixel wholly, being thinner than one, it is the share of its own largest coverage, so
    that none fades away.
    """
    defective = coverage > 0
    n_labels, labels = cv2.connectedComponents(defective.astype(np.uint8))
    largest = np.ones(n_labels, np.float32)
    np.maximum.at(largest, labels[defective].astype(np.intp), coverage[defective])
    return np.asarray(coverage / largest[labels], np.float32)
