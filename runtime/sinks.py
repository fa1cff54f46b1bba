"""Where verdicts go: lines of JSON, and pictures of what was found."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any, TextIO

import msgspec

from runtime.errors import DataError, say
from runtime.images import Image, write_png

ROOM = 8  # pictures that wait for the disk
HANG_S = 10.0  # how long the last ones of a camera may take
RESERVE, MOST_RESERVE = 0.05, 1e9  # share of the disk, bytes: what pictures leave to the verdicts


@contextmanager
def open_lines(out: Path | None) -> Iterator[TextIO]:
    """The text file `out`, each line written through as it comes; standard output without one.

    A file that is there is kept under a name with its time: no verdict is lost.

    Raises:
        DataError: the file cannot be written.
    """
    if out is None:
        yield sys.stdout
        return
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _keep(out)
        file = out.open("a", encoding="utf-8", buffering=1)  # as rotation by copying needs
    try:
        yield file
    finally:
        with _writing(out):
            file.close()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"--out {out}: cannot be written ({error.strerror}); free space or choose another file"
        ) from error


def _keep(out: Path) -> None:
    """Give the file that is there, or that `out` links to, a name with its time."""
    of_process = out.name in {"stdout", "stderr"} or out.parent.name == "fd"
    if (out.is_relative_to("/dev") and of_process) or not out.is_file():
        return
    file = out.resolve()
    if file.stat().st_size == 0:  # as a start on a full disk leaves it
        return
    written = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    kept = file.with_name(f"{file.stem}.{written:%Y%m%dT%H%M%S%f}{file.suffix}")
    while kept.exists():
        kept = kept.with_stem(f"{kept.stem}.1")
    file.rename(kept)
    say(f"--out {out}: what was there is now {kept.name}")


class Pictures:
    """Writes pictures on a thread of its own, so that no verdict waits for a disk.

    Of a source that does `wait`, each is written; else those that find `ROOM` others before them
    are lost, and counted, as are those that the disk refuses, and those that would leave too
    little of it.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, wait: bool) -> None:
        self._folder = folder
        self._wait = wait
        self._asked = self._written = 0
        self._why = ""  # the last one was lost
        self._queue: Queue[tuple[str, Callable[[], Image]] | None] = Queue(ROOM)
        self._thread = Thread(target=self._write_all, daemon=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"--save-overlays {folder}: is no folder that can be made ({error.strerror}); "
                "choose another"
            ) from error

    def put(self, name: str, draw: Callable[[], Image]) -> None:
        """Have what `draw` gives written as `name`, soon."""
        if self._asked == 0:
            self._thread.start()
        self._asked += 1
        try:
            self._queue.put((name, draw), block=self._wait)
        except Full:
            self._lose("the disk is too slow; save elsewhere")

    def finish(self) -> int:
        """Wait for those that are still to be written, and say how many were lost.

        For a camera not for ever: a disk that hangs must not keep a station from its next start.
        """
        if self._thread.is_alive():
            limit = None if self._wait else HANG_S
            with suppress(Full):
                self._queue.put(None, timeout=limit)
                self._thread.join(limit)
        if self._thread.is_alive():
            self._lose("the disk hangs or is too slow; save elsewhere")
            with suppress(Empty):
                while True:
                    self._queue.get_nowait()
            self._queue.put(None)
            self._thread.join(HANG_S)  # Python must not end while it is at a picture
        return self._asked - self._written

    def require_all(self) -> None:
        """Refuse to have lost any of a source that waits.

        Raises:
            DataError: some were lost.
        """
        if self._wait and self._written < self._asked:
            raise DataError(
                f"--save-overlays {self._folder}: {self._asked - self._written} of {self._asked} "
                f"pictures were lost: {self._why}"
            )

    def _write_all(self) -> None:
        while job := self._queue.get():
            name, draw = job
            try:
                require_room(self._folder)
                write_png(self._folder / name, draw())
                self._written += 1
            except Exception as error:  # noqa: BLE001 - else nobody would empty the queue
                self._lose(str(error).replace(str(self._folder / name), "a picture"))

    def _lose(self, why: str) -> None:
        """Said once, until there is another reason."""
        if why != self._why:
            say(f"--save-overlays {self._folder}: {why}")
        self._why = why


def require_room(folder: Path) -> None:
    """Make the folder of a picture, which may have been moved away.

    Raises:
        DataError: it cannot be made, or its disk is so full that a picture would take the room of
            verdicts.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); choose another") from error
    disk = shutil.disk_usage(folder)
    if disk.free < (reserve := min(RESERVE * disk.total, MOST_RESERVE)):
        raise DataError(
            f"{folder}: less than {reserve / 1e6:.0f} MB of its disk are free; free some"
        )


def write_line(lines: TextIO, record: dict[str, Any]) -> None:
    """Write one record as a line of JSON.

    Raises:
        DataError: a file that `open_lines` gave takes no more.
    """
    with nullcontext() if lines is sys.stdout else _writing(Path(lines.name)):
        lines.write(msgspec.json.encode(record).decode() + "\n")
        lines.flush()
