"""Frames that a camera compressed: a picture, or why it cannot be trusted."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg

# Some cameras fill a frame up before its end.
FILLED_UP = re.compile(r"Corrupt JPEG data: \d\d? extraneous bytes before marker 0xd9$")


def decoded(
    data: npt.NDArray[np.uint8], size: tuple[int, int], path: Path
) -> tuple[npt.NDArray[np.uint8] | None, str | None]:
    """The picture of a JPEG in BGR, or why there is none; `size` is the camera's.

    The size is looked at first: a broken one may ask for gigabytes. One that lacks a part would be
    filled up with grey, so it is a fault.
    """
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        if (width, height) != size:
            return None, f"{path}: the JPEG is {width}x{height}, expected {size[0]}x{size[1]}"
        return _picture(data), None
    except KeyError:  # the header's: simplejpeg knows no 4:4:1
        return None, (
            f"{path}: the JPEG's colours are sampled in a way that is not known; "
            "choose another format"
        )
    except ValueError as error:
        return None, f"{path}: the frame's {len(data)} bytes are no whole JPEG ({error})"


def _picture(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "BGR"))
    except ValueError as error:
        if not FILLED_UP.match(str(error)):
            raise
        return np.asarray(simplejpeg.decode_jpeg(data, "BGR", strict=False))
