"""Where frames come from, by URI: a folder of images, a video file, or a V4L2 camera.

Files are given one after the other, none is skipped. A camera's frames go stale, so of those that
came in since the last one was taken only the newest is given, and the rest are counted.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from runtime.camera import Camera
from runtime.errors import DataError, SourceError, say
from runtime.frame import Frame
from runtime.images import IMAGE_SUFFIXES, read_image, readable
from runtime.preprocess import PixelFormat

MOST_OF_IT = 0.99  # of the frames that a video should have, which some containers estimate


def open_source(
    uri: str, channels: int, stop: threading.Event | None = None
) -> AbstractContextManager[Iterator[Frame]]:
    """The frames of `uri`, as long as the context is open; images are read with `channels`.

    Once `stop` is set, a camera gives no more.

    Raises:
        SourceError: it does not exist, or cannot be opened, or holds no frame.
    """
    path = Path(uri)
    if path.is_dir():
        return _folder(path, channels)
    if path.is_file():
        return _video(path)
    if is_camera(uri):
        return _camera(uri, stop)
    if uri.startswith("/dev/"):
        raise SourceError(
            f"--camera {uri}: no such camera; defectgate cameras lists those there are"
        )
    raise SourceError(
        f"--camera {uri}: no such camera, video file or folder; "
        "expected /dev/videoN, a video file, or a folder of images"
    )


def is_camera(uri: str) -> bool:
    """Whether `uri` names a device."""
    return Path(uri.partition("?")[0]).is_char_device()


def say_what_lies_below(uri: str) -> None:
    """Say how many images lie in folders below the folder `uri`, which are not judged."""
    below = sum(
        name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES
        for place, _, names in os.walk(uri)
        if place != uri
        for name in names
    )
    if below:
        say(
            f"--camera {readable(uri)}: {below} images in folders below it are not judged; name "
            "each of those folders"
        )


def frame_of_image(path: Path, channels: int, seq: int, source: str) -> Frame:
    """The image in `path` as a frame, captured now.

    Raises:
        DataError: the file is missing or no image.
    """
    pixels = read_image(path, channels)
    pixel_format = PixelFormat.GREY if channels == 1 else PixelFormat.BGR
    return Frame(pixels, pixel_format, source, seq, time.monotonic_ns())


@contextmanager
def _folder(folder: Path, channels: int) -> Iterator[Iterator[Frame]]:
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise SourceError(
            f"--camera {folder}: cannot be read ({error.strerror}); let this user read it"
        ) from error
    if not paths:
        raise SourceError(f"--camera {folder}: holds no image; name the folder that has them")
    yield (_frame_or_fault(path, channels, seq) for seq, path in enumerate(paths))


def _frame_or_fault(path: Path, channels: int, seq: int) -> Frame:
    try:
        return frame_of_image(path, channels, seq, readable(path.name))
    except DataError as error:
        now = time.monotonic_ns()
        name, fault = readable(path.name), readable(str(error))
        return Frame(None, PixelFormat.GREY, name, seq, now, fault=fault)


@contextmanager
def _video(path: Path) -> Iterator[Iterator[Frame]]:
    if not os.access(path, os.R_OK):
        raise SourceError(f"--camera {path}: this user may not read it; let it")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise SourceError(f"--camera {path}: is no video that OpenCV can read; convert it")
    try:
        came, first = capture.read()
        if not came:
            raise SourceError(f"--camera {path}: holds no frame that can be decoded; convert it")
        yield _video_frames(capture, first, path)
    finally:
        capture.release()


def _video_frames(capture: cv2.VideoCapture, first: MatLike, path: Path) -> Iterator[Frame]:
    seq, came, pixels, name = 0, True, first, readable(path.name)
    while came:
        now = time.monotonic_ns()
        yield Frame(np.asarray(pixels, np.uint8), PixelFormat.BGR, f"{name}#{seq}", seq, now)
        seq += 1
        came, pixels = capture.read()
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)  # 0 or less where it is not known
    if seq < MOST_OF_IT * promised - 1:
        say(
            f"--camera {path}: ended after {seq} of {promised:.0f} frames; some were left out when "
            "it was recorded, or it is damaged"
        )


@contextmanager
def _camera(uri: str, stop: threading.Event | None) -> Iterator[Iterator[Frame]]:
    with Camera(uri, stop) as camera:
        yield camera.frames()
