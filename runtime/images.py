"""Reads image files as the camera would give them: 8-bit grey or BGR."""

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from runtime.errors import DataError
from runtime.record import write_atomically

IMAGE_SUFFIXES = frozenset({".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PNG = b"\x89PNG"
HOLD_SEVERAL = frozenset({b"II", b"MM", b"RI", b"GI"})  # TIFF, WebP, GIF

Image = npt.NDArray[np.uint8]


def read_image(path: Path, channels: int) -> Image:
    """The image in `path` as uint8, (H, W) for one channel, (H, W, 3) in BGR order for three.

    Raises:
        DataError: the file is missing, empty or no image, holds several, or has more than 8 bits a
            channel.
    """
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    image = _decode(path, flag | cv2.IMREAD_ANYDEPTH)
    if image.itemsize > 1:
        raise DataError(
            f"{path}: has more than 8 bits a channel, of which only the upper 8 would be seen; "
            "stretch its contrast into 8 bits"
        )
    return image.astype(np.uint8, copy=False)


def require_outside(flag: str, path: Path, source: Path) -> None:
    """Refuse a place for pictures in the folder `source`, whose images they would become.

    Raises:
        DataError: it is one; a source that is no folder has none.
    """
    if source.is_dir() and path.resolve().is_relative_to(source.resolve()):
        raise DataError(
            f"{flag} {path}: lies in {source}, which is read, so pictures there would count as its "
            "images; choose a place outside"
        )


def readable(name: str) -> str:
    """A file's name as text that a record can hold, whatever its encoding was."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def write_png(path: Path, image: Image) -> None:
    """Write `image`, grey (H, W) or BGR (H, W, 3), as PNG: beside, then renamed.

    Raises:
        DataError: the folder cannot be made, or is full.
    """
    encoded = cv2.imencode(".png", image)[1]
    try:
        write_atomically(path, encoded.tobytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _decode(path: Path, flag: int) -> MatLike:
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from error
    try:
        image = cv2.imdecode(encoded, flag) if encoded.size else None
    except cv2.error:  # its header asks for more pixels than OpenCV allows
        image = None
    if image is None:
        raise DataError(
            f"{path}: is not a readable image ({encoded.size} bytes); restore or remove the file"
        )
    if _may_hold_several(encoded) and (count := _pictures_in(path)) > 1:
        raise DataError(
            f"{path}: holds {count} pictures, of which only the first would be seen; save each "
            "in a file of its own"
        )
    return image


def _may_hold_several(encoded: Image) -> bool:
    if encoded[:4].tobytes() == PNG:
        return b"acTL" in encoded.tobytes().partition(b"IDAT")[0]  # animated
    return encoded[:2].tobytes() in HOLD_SEVERAL


def _pictures_in(path: Path) -> int:
    with path.open("rb") as file:  # by its number: OpenCV does not take every name
        return cv2.imcount(f"/proc/self/fd/{file.fileno()}")
