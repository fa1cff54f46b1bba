"""Draws a verdict on its frame, for people."""

import cv2
import numpy as np
import numpy.typing as npt

from runtime.frame import Frame
from runtime.inspection import Inspection, foreground
from runtime.preprocess import Rect, Tile
from runtime.spec import Limits

NG_COLOUR = (40, 40, 230)
TINT = 0.35
LINE_PX = 16


def overlay(frame: Frame, inspection: Inspection, limits: Limits) -> npt.NDArray[np.uint8]:
    """The frame in BGR (H, W, 3), the mask tinted and outlined, each defect in a box.

    Of several classes, a defect's is written at its box.
    """
    picture = picture_of(frame)
    if inspection.canvas is not None:
        found = np.logical_or.reduce(foreground(inspection.canvas, frame.size, limits))
        tint = np.array(NG_COLOUR) * TINT
        picture[found] = (picture[found] * (1 - TINT) + tint).astype(np.uint8)
        outlines, _ = cv2.findContours(
            found.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outlines, -1, NG_COLOUR, 1)
    for defect in inspection.verdict.defects:
        x, y, width, height = defect.bbox
        corner = (x + width + 2, y + height + 2)
        cv2.rectangle(picture, (x - 3, y - 3), corner, NG_COLOUR, 1)
        if inspection.canvas is not None and len(inspection.canvas.masks) > 1:
            line = y - 6 if y > LINE_PX else min(y + height + LINE_PX, picture.shape[0] - 4)
            _write(picture, defect.kind, (x - 3, line), 0.4)
    return _with_caption(picture, inspection)


def picture_of(frame: Frame) -> npt.NDArray[np.uint8]:
    """The frame in BGR (H, W, 3), turned, cropped, and as the network's input but for its size."""
    width, height = frame.size
    whole = Rect(0, 0, width, height)
    rgb = np.empty((height, width, 3), np.uint8)
    frame.preprocess(Tile(whole, whole), rgb)
    return np.ascontiguousarray(rgb[..., ::-1])


def _with_caption(picture: npt.NDArray[np.uint8], inspection: Inspection) -> npt.NDArray[np.uint8]:
    verdict = inspection.verdict
    text = f"{verdict.verdict.value} {verdict.score:.3f}"
    band = np.zeros((22, picture.shape[1], 3), np.uint8)
    _write(band, text, (4, 16), 0.5)
    return np.vstack([band, picture])


def _write(picture: npt.NDArray[np.uint8], text: str, corner: tuple[int, int], size: float) -> None:
    """Write `text`, its lower left corner at (x, y), or farther left where it would not fit."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, _), _ = cv2.getTextSize(text, font, size, 1)
    x, y = max(0, min(corner[0], picture.shape[1] - width)), corner[1]
    cv2.putText(picture, text, (x, y), font, size, NG_COLOUR, 1, cv2.LINE_AA)
