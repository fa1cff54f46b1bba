"""A sample as a picture for the report: the image, and outlines that can be taken off it."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from runtime.images import Image

Mask = npt.NDArray[np.bool_]
Window = tuple[int, int, int, int]  # (x, y, width, height)

SIDE_PX = 300
SHOWN_WHOLE_PX = 400
GAP_PX = 2
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Picture:
    """An image at most 300 pixels wide and high, as a data URI, with outlines as SVG paths.

    The paths are in the picture's own `width` x `height`; `is_section`: it shows a part of the
    image.
    """

    width: int
    height: int
    uri: str
    truth: str
    found: str
    is_section: bool


def picture(image: Image, truth: Mask, found: Mask) -> Picture:
    """The part of `image`, (H, W) or BGR (H, W, 3), where `truth` or else `found` (H, W) is."""
    x, y, width, height = window(truth if truth.any() else found)
    crop = np.s_[y : y + height, x : x + width]
    scale = SIDE_PX / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Picture(
        *size,
        _data_uri(image[crop] if scale >= 1 else _shrunk(image[crop], size)),
        outline(truth[crop], size),
        outline(found[crop], size),
        is_section=(width, height) != (image.shape[1], image.shape[0]),
    )


def window(focus: Mask) -> Window:
    """The whole image where it is small or `focus` empty, else a square about `focus`."""
    height, width = focus.shape
    if max(width, height) <= SHOWN_WHOLE_PX or not focus.any():
        return 0, 0, width, height
    left, top, wide, high = cv2.boundingRect(focus.astype(np.uint8))
    side = max(SIDE_PX, 2 * wide, 2 * high)
    x, shown_wide = _span(left + wide // 2, side, width)
    y, shown_high = _span(top + high // 2, side, height)
    return x, y, shown_wide, shown_high


def outline(mask: Mask, size: tuple[int, int]) -> str:
    """An SVG path about `mask` brought to `size`, (width, height), at a small distance from it."""
    pixels = 255 * mask.astype(np.uint8)
    if size[0] < mask.shape[1]:
        shown = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) > 0
    else:
        shown = cv2.resize(pixels, size) >= 128  # noqa: PLR2004 - half of 255
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * GAP_PX + 1, 2 * GAP_PX + 1))
    lines, _ = cv2.findContours(
        cv2.dilate(shown.astype(np.uint8), around),
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_TC89_L1,
    )
    paths = ("L".join(f"{x} {y}" for x, y in line[:, 0].tolist()) for line in lines)
    return "".join(f"M{path}Z" for path in paths)


def _span(centre: int, length: int, limit: int) -> tuple[int, int]:
    """First pixel and length of what is shown along one axis of `limit` pixels."""
    shown = min(length, limit)
    return min(max(0, centre - shown // 2), limit - shown), shown


def _data_uri(image: Image) -> str:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
