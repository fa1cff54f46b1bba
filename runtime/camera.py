"""A V4L2 camera: the newest frame wins, the others are counted, and a lost one is opened again."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from runtime import _native
from runtime.camera_uri import CameraUri, camera_uri
from runtime.controls import set_controls
from runtime.errors import SourceError, say
from runtime.fourcc import CODES, MJPEG, NAMES, exceeds_its_bits, pixel_format, text_of
from runtime.frame import Frame
from runtime.mjpeg import decoded

if TYPE_CHECKING:
    from typing_extensions import Self

STALL_S, STALL_FRAMES = 5.0, 5  # the longer of the two is a stall
STOP_MS = 250  # how soon a stop is noticed
RETRY_S, RETRY_MOST_S = 0.1, 1.0
SAME = 0.01  # a rate that is off by less is the one that was asked for

WRONG_BITS = "the driver puts them to the top of its words; choose another format"
FAULTS = {
    errno.ENOENT: "is gone; plug it in",
    errno.ENODEV: "is gone; plug it in",
    errno.ENXIO: "is gone; plug it in",
    errno.EBUSY: "is busy; close the program that has it",
    errno.EACCES: "may not be opened; add the user to the group video",
    errno.ENOTTY: "is no camera that streams; choose one of `defectgate cameras`",
    errno.ENOLINK: "has no signal; check its cable and its source",
    errno.ENOLCK: "has an unstable signal; check its cable and its source",
    errno.ERANGE: "has a signal that it does not take; set its source to another",
    errno.EMEDIUMTYPE: "gives interlaced pictures; set it or its source to progressive ones",
    errno.ESTALE: "changed its format",
    errno.ETIMEDOUT: "gives no frames; check its cable and its trigger, or raise timeout=",
}


class Camera:
    """Frames of the camera at `uri`, which streams as long as the context is open.

    Raises:
        SourceError: the device cannot be opened, or not as `uri` asks.
    """

    def __init__(self, uri: str, stop: threading.Event | None = None) -> None:
        self._wish = camera_uri(uri)
        self._path = self._wish.path
        self._stop = stop or threading.Event()
        self._said = ""
        self._next_seq = self._first_seq = 0
        self._lost_s = 0.0
        try:
            self._open()
        except OSError as error:
            raise SourceError(f"--camera {self._path}: {fault_of(error)}") from error
        capture = self._capture  # opened again, it is to be the same
        self._wish = replace(
            self._wish,
            width=capture.width,
            height=capture.height,
            fps=capture.fps,
            format=self._format,
        )

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._capture.close()

    def frames(self) -> Iterator[Frame]:
        """The newest frame, again and again, until the stop is set.

        `dropped` is how many were passed over; a frame that cannot be trusted has a `fault`. Its
        pixels are the driver's: who keeps them keeps one of its few buffers. A camera that is lost
        is opened again; why is said on standard error, once a cause.
        """
        while not self._stop.is_set():
            yield from self._until_it_is_lost()

    def _until_it_is_lost(self) -> Iterator[Frame]:
        try:
            yield from iter(self._next, None)
        except OSError as error:
            self._capture.close()
            self._say(f"{fault_of(error)}; waiting for it")
            self._open_again()

    def _open(self) -> None:
        wish = self._wish
        with device(wish.path) as fd:
            set_controls(fd, wish.controls, str(wish.path))
            self._capture = _capture(fd, wish)
        self._format = NAMES[self._capture.fourcc]
        self._say_differences(wish)
        rate = self._capture.fps
        self._patience_s = wish.timeout_s or max(STALL_S, STALL_FRAMES / rate if rate else 0)

    def _open_again(self) -> None:
        self._lost_s = self._lost_s or time.monotonic()
        self._first_seq = self._next_seq
        pause_s = RETRY_S
        while not self._stop.wait(pause_s) and not self._is_open_again():
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    def _is_open_again(self) -> bool:
        try:
            self._open()
        except OSError as error:
            self._say(f"{fault_of(error)}; waiting for it")
        except SourceError as error:
            self._say(f"{error}; waiting for it")
        else:
            return True
        return False

    def _next(self) -> Frame | None:
        """The next frame; None once the stop is set. Keeps no frame: it is the driver's memory."""
        deadline = time.monotonic() + self._patience_s
        while not self._stop.is_set():
            shot = self._capture.take(STOP_MS)
            if shot is not None:
                return self._frame(shot)
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, "no frame")
        return None

    def _frame(self, shot: _native.Shot) -> Frame:
        if self._lost_s:
            self._say(f"is back after {time.monotonic() - self._lost_s:.1f} s")
            self._lost_s = 0.0
        seq = self._first_seq + shot.number
        self._next_seq = seq + 1
        pixels, fault = self._pixels(shot)
        return Frame(
            pixels,
            pixel_format(self._format),
            f"{self._path}#{seq}",
            seq,
            shot.t_ns,
            shot.dropped,
            fault,
            self._wish.turn,
            self._wish.crop,
        )

    def _pixels(self, shot: _native.Shot) -> tuple[npt.NDArray[np.uint8] | None, str | None]:
        """The frame in the driver's own buffer, or why it cannot be trusted."""
        if shot.is_broken:
            return None, f"{self._path}: the driver says that the frame is broken"
        size = self._capture.width, self._capture.height
        if self._format == MJPEG:
            return decoded(np.frombuffer(memoryview(shot), np.uint8), size, self._path)
        extent = pixel_format(self._format).shape(*size)
        row = int(np.prod(extent[1:]))
        stride = self._capture.stride or row
        held, expected = memoryview(shot).nbytes, stride * (extent[0] - 1) + row
        if held < expected or stride < row:
            return None, f"{self._path}: the frame has {held} bytes, expected {expected}"
        steps = (stride, *(extent[2:]), 1)
        pixels = np.ndarray(extent, np.uint8, memoryview(shot), strides=steps)
        if exceeds_its_bits(pixels, self._format):
            return None, f"{self._path}: {self._format} has bits set beyond its own; {WRONG_BITS}"
        return pixels, None

    def _say_differences(self, wish: CameraUri) -> None:
        capture = self._capture
        got = {"width": capture.width, "height": capture.height, "fps": capture.fps}
        wanted = {name: getattr(wish, name) for name in got if getattr(wish, name)}
        if any(abs(got[name] - value) > SAME * value for name, value in wanted.items()):
            asked, given = (
                ", ".join(f"{name}={values[name]:g}" for name in wanted) for values in (wanted, got)
            )
            self._say(f"gives {given} where {asked} was asked for")

    def _say(self, text: str) -> None:
        if text != self._said:
            say(f"camera {self._path}: {text}")
        self._said = text


@contextmanager
def device(path: Path) -> Iterator[int]:
    """A file descriptor of the camera, as long as the context is open."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _capture(fd: int, wish: CameraUri) -> _native.Capture:
    """The stream in the format that is asked for, else as it is set, else in the best."""
    offered = {text_of(code) for code, _, _ in _native.camera_formats(fd)}
    judged = [name for name in CODES if name in offered]
    if wish.format and wish.format not in judged:
        raise SourceError(
            f"--camera {wish.path}: format is {wish.format!r}, expected one that it gives and that "
            f"can be judged: {', '.join(judged) or 'there is none'}"
        )

    def opened(fourcc: int) -> _native.Capture:
        return _native.Capture(fd, wish.width, wish.height, fourcc, wish.fps, wish.cpu)

    capture = opened(CODES[wish.format] if wish.format else 0)
    if capture.fourcc not in NAMES and judged and not wish.format:
        capture.close()
        capture = opened(CODES[judged[0]])
    if capture.fourcc in NAMES:
        _require_inside(capture, wish)
        return capture
    capture.close()
    raise SourceError(
        f"--camera {wish.path}: gives {text_of(capture.fourcc)}, which cannot be judged; expected "
        f"one of {', '.join(CODES)}"
    )


def _require_inside(capture: _native.Capture, wish: CameraUri) -> None:
    """Close the stream and refuse where the crop reaches beyond its frames."""
    crop, (width, height) = wish.crop, wish.turn.size((capture.width, capture.height))
    if crop and (crop.x + crop.width > width or crop.y + crop.height > height):
        capture.close()
        raise SourceError(
            f"--camera {wish.path}: crop is {crop.x},{crop.y},{crop.width},{crop.height}, expected "
            f"x,y,width,height within its frames of {width}x{height}"
        )


def fault_of(error: OSError) -> str:
    """What became of a camera, and the mend."""
    return FAULTS.get(
        error.errno or 0, f"failed ({error.strerror}); plug it in anew where it stays so"
    )
