"""Reads image files as the camera would give them: 8-bit grey or BGR."""

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from runtime.errors import DataError
from runtime.record import write_atomically

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

Image = npt.NDArray[np.uint8]


def read_image(path: Path, channels: int) -> Image:
    """The image in `path` as uint8, (H, W) for one channel, (H, W, 3) in BGR order for three.

    Raises:
        DataError: the file is missing, empty or no image, or has more than 8 bits a channel.
    """
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    image = _decode(path, flag | cv2.IMREAD_ANYDEPTH)
    if image.itemsize > 1:
        raise DataError(
            f"{path}: has more than 8 bits a channel, of which only the upper 8 would be seen; "
            "stretch its contrast into 8 bits"
        )
    return image.astype(np.uint8, copy=False)


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
    return image
