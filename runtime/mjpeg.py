"""Frames that a camera compressed: a picture, or why it cannot be trusted."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

START, END, TAIL = b"\xff\xd8", b"\xff\xd9", 1024  # some cameras fill up what follows it
MARK = 0xFF
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers of a segment that says the size
WITHOUT_LENGTH = {*range(0xC0), *range(0xD0, 0xDA)}
AS_IT_LIES = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def decoded(
    data: npt.NDArray[np.uint8], size: tuple[int, int], path: Path
) -> tuple[npt.NDArray[np.uint8] | None, str | None]:
    """The picture of a JPEG in BGR, or why there is none; `size` is the camera's.

    The size is looked at first: a broken one may ask for gigabytes.
    """
    found = size_of(data.tobytes()) if END in data[-TAIL:].tobytes() else None
    if found and found != size:
        return None, f"{path}: the JPEG is {found[0]}x{found[1]}, expected {size[0]}x{size[1]}"
    picture = cv2.imdecode(data, AS_IT_LIES) if found else None
    if picture is None:
        return None, f"{path}: the frame's {len(data)} bytes are no whole JPEG"
    return np.asarray(picture, np.uint8), None


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a JPEG claims; None where this is none, or its segments lead nowhere."""
    if not data.startswith(START):
        return None
    at = len(START)
    while at + 9 <= len(data) and data[at] == MARK:
        marker = data[at + 1]
        if marker in FRAMES:
            height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
            return width, height
        if marker in WITHOUT_LENGTH:
            return None
        at += 1 if marker == MARK else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
