"""A V4L2 camera through OpenCV: a thread grabs, the newest frame wins, the others are counted."""

import fcntl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from runtime.errors import SourceError
from runtime.frame import Frame
from runtime.preprocess import PixelFormat

if TYPE_CHECKING:
    from typing_extensions import Self

STALL_S = 10.0

# linux/videodev2.h: struct v4l2_format holds a type, and from byte 8 on width and height.
VIDIOC_G_FMT = 0xC0D05604
V4L2_FORMAT_BYTES = 208
V4L2_BUF_TYPE_VIDEO_CAPTURE = 1


class Camera:
    """Frames of the camera at `path`, which grabs as long as the context is open.

    Raises:
        SourceError: the device cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2, _configured_size(path))
        if not self._capture.isOpened():
            raise SourceError(
                f"--camera {path}: cannot be opened as a V4L2 camera; check with v4l2-ctl "
                "--list-devices that it is one, and that no other program has it"
            )
        self._format = _raw_format(self._capture)
        self._news = threading.Condition()
        self._newest: tuple[npt.NDArray[np.uint8], int, int] | None = None
        self._grabbed = 0
        self._ended = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)

    def __enter__(self) -> "Self":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._capture.release()

    def frames(self) -> Iterator[Frame]:
        """The newest frame, again and again; `dropped` is how many were passed over.

        Raises:
            SourceError: the camera was lost, or gave nothing for ten seconds.
        """
        last = -1
        while True:
            pixels, seq, t_capture_ns = self._next()
            source = f"{self._path}#{seq}"
            yield Frame(pixels, self._format, source, seq, t_capture_ns, seq - last - 1)
            last = seq

    def _next(self) -> tuple[npt.NDArray[np.uint8], int, int]:
        with self._news:
            came = self._news.wait_for(lambda: self._newest or self._ended, STALL_S)
            newest, self._newest = self._newest, None
        if newest is None:
            fault = "was lost" if came else f"gave no frame for {STALL_S:.0f} s"
            raise SourceError(f"--camera {self._path}: {fault}; check the cable and start again")
        return newest

    def _grab(self) -> None:
        try:
            while not self._closing.is_set():
                came, pixels = self._capture.read()
                if not came:
                    return
                frame = (np.asarray(pixels, np.uint8), self._grabbed, time.monotonic_ns())
                with self._news:
                    self._newest = frame
                    self._grabbed += 1
                    self._news.notify()
        finally:
            with self._news:
                self._ended = True
                self._news.notify()


def _configured_size(path: Path) -> list[int]:
    """The frame size that the driver is set to, as OpenCV takes it; else it would set 640x480."""
    found = bytearray(V4L2_FORMAT_BYTES)
    struct.pack_into("I", found, 0, V4L2_BUF_TYPE_VIDEO_CAPTURE)
    try:
        with path.open("rb", buffering=0) as device:
            fcntl.ioctl(device, VIDIOC_G_FMT, found)
    except OSError:  # no camera, or one of another kind: opening it will tell
        return []
    width, height = struct.unpack_from("II", found, 8)
    return [cv2.CAP_PROP_FRAME_WIDTH, width, cv2.CAP_PROP_FRAME_HEIGHT, height]


def _raw_format(capture: cv2.VideoCapture) -> PixelFormat:
    """Ask for the driver's own bytes where our preprocessing takes them, else for BGR."""
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    if fourcc == b"YUYV" and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0):
        return PixelFormat.YUYV
    return PixelFormat.BGR
