"""Keeps frames of a source as images: what a camera sees, to train on."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from runtime.errors import SourceError, say
from runtime.images import readable, require_outside, write_png
from runtime.overlay import picture_of
from runtime.sinks import require_room
from runtime.sources import is_camera, open_source


def record_frames(
    uri: str, out: Path, every_s: float, most: int | None, stop: threading.Event
) -> Iterator[Path]:
    """Write frames of `uri` into the folder `out`, at most `most`; gives the file of each.

    Of a camera one every `every_s` seconds, of files all. Why one cannot be read is said once.

    Raises:
        SourceError: the source cannot be opened, or gives no frame that can be read.
        DataError: a picture cannot be written, would leave the disk too full, or lie in the source.
    """
    require_outside("--out", out, Path(uri))
    begun = datetime.now(timezone.utc)
    pause_s = every_s if is_camera(uri) else 0
    count, due_s, said = 0, 0.0, None
    with open_source(uri, 3, stop) as source:
        for frame in source:
            if stop.is_set():
                return
            picture = None
            if frame.pixels is None:
                if frame.fault != said:
                    say(f"--camera {readable(uri)}: {frame.source}: {frame.fault}")
                said = frame.fault
            elif (now_s := time.monotonic()) >= due_s:  # a driver's own clock may jump
                due_s = now_s + pause_s
                path = out / f"{begun:%Y%m%dT%H%M%S%f}-{frame.seq:06d}.png"
                picture = picture_of(frame)
            del frame  # a camera wants its memory back
            if picture is not None:
                require_room(out)
                write_png(path, picture)
                yield path
                count += 1
                if count == most:
                    return
    if count == 0 and not stop.is_set():
        raise SourceError(f"--camera {readable(uri)}: gave no frame that can be saved")
