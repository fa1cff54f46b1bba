"""`/dev/video0?width=1280&format=YUYV&gain=4`: a camera, and how it is to be set."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

from runtime.errors import SourceError
from runtime.preprocess import Rect, Turn

Value = TypeVar("Value", int, float)
SIDE_MAX = 32768
SETTINGS = "width, height, fps, format, cpu, timeout, turn, mirror, crop"


@dataclass(frozen=True)
class CameraUri:
    """A device and what was asked of it; 0 leaves a setting as it is, `controls` by name."""

    path: Path
    width: int
    height: int
    fps: float
    format: str
    cpu: int
    timeout_s: float
    turn: Turn
    crop: Rect | None
    controls: dict[str, str]


def camera_uri(uri: str) -> CameraUri:
    """What `uri` asks for by the names of `SETTINGS`; the rest are controls.

    Raises:
        SourceError: a value that is none, or one that is given twice.
    """
    path, _, query = uri.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    if len(values) < len(pairs) or len(pairs) < len([part for part in query.split("&") if part]):
        raise SourceError(f"--camera {uri}: expected name=value&name=value, each name once")

    def number(name: str, read: Callable[[str], Value], least: Value, most: Value) -> Value | None:
        text = values.pop(name, None)
        try:
            value = None if text is None else read(text)
        except ValueError:
            value = least - 1
        if value is not None and not least <= value <= most:
            raise SourceError(
                f"--camera {uri}: {name} is {text!r}, expected a number from {least} to {most}"
            )
        return value

    cpu = number("cpu", int, 0, 1023)
    return CameraUri(
        Path(path),
        width=number("width", int, 1, SIDE_MAX) or 0,
        height=number("height", int, 1, SIDE_MAX) or 0,
        fps=number("fps", float, 0.001, 100_000.0) or 0.0,
        format=values.pop("format", ""),
        cpu=-1 if cpu is None else cpu,
        timeout_s=number("timeout", float, 0.1, 1e6) or 0.0,
        turn=Turn(number("turn", int, 0, 3) or 0, mirrored=bool(number("mirror", int, 0, 1))),
        crop=_crop(uri, values.pop("crop", None)),
        controls=values,
    )


def _crop(uri: str, text: str | None) -> Rect | None:
    """The rectangle `x,y,width,height` of the turned picture."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5}),(\d{1,5}),([1-9]\d{0,4}),([1-9]\d{0,4})", text, re.ASCII)
    if found is None:
        raise SourceError(
            f"--camera {uri}: crop is {text!r}, expected x,y,width,height in pixels, such as "
            "320,120,640,480"
        )
    return Rect(*map(int, found.groups()))
