"""Where verdicts go: lines of JSON, and pictures of what was found."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Any, TextIO

import msgspec

from runtime.errors import DataError
from runtime.images import Image, write_png

ROOM = 8  # pictures that wait for the disk


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
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _keep(out)
        with out.open("a", encoding="utf-8", buffering=1) as file:  # as rotation by copying needs
            yield file
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
    written = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    kept = file.with_name(f"{file.stem}.{written:%Y%m%dT%H%M%S%f}{file.suffix}")
    while kept.exists():
        kept = kept.with_stem(f"{kept.stem}.1")
    file.rename(kept)


class Pictures:
    """Writes pictures on a thread of its own, so that no verdict waits for a disk.

    Of a source that does `wait`, each is written; else those that find `ROOM` others before them
    are lost, and counted, as are those that the disk refuses.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, wait: bool) -> None:
        self._folder = folder
        self._wait = wait
        self._asked = 0
        self._lost: list[str] = []  # why
        self._queue: Queue[tuple[str, Callable[[], Image]] | None] = Queue(ROOM)
        self._thread = Thread(target=self._write_all, daemon=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"--save-overlays {folder}: is no folder that can be made ({error.strerror}); "
                "choose another"
            ) from error
        self._thread.start()

    def put(self, name: str, draw: Callable[[], Image]) -> None:
        """Have what `draw` gives written as `name`, soon."""
        self._asked += 1
        try:
            self._queue.put((name, draw), block=self._wait)
        except Full:
            self._lose("the disk is too slow; save elsewhere")

    def finish(self) -> None:
        """Wait for those that are still to be written."""
        self._queue.put(None)
        self._thread.join()

    def require_all(self) -> None:
        """Refuse to have lost any.

        Raises:
            DataError: some were lost.
        """
        if self._lost:
            raise DataError(
                f"--save-overlays {self._folder}: {len(self._lost)} of {self._asked} pictures "
                f"were lost: {self._lost[0]}"
            )

    def _write_all(self) -> None:
        while job := self._queue.get():
            name, draw = job
            try:
                write_png(self._folder / name, draw())
            except Exception as error:  # noqa: BLE001 - else nobody would empty the queue
                self._lose(str(error))

    def _lose(self, why: str) -> None:
        self._lost.append(why)
        if len(self._lost) == 1:
            with suppress(OSError, ValueError):  # nobody listens; it is said again at the end
                sys.stderr.write(f"--save-overlays {self._folder}: {why}\n")
                sys.stderr.flush()


@contextmanager
def open_pictures(folder: Path, *, wait: bool) -> Iterator[Pictures]:
    """`Pictures`, as long as the context is open.

    Raises:
        DataError: as there; at the end, some were lost.
    """
    pictures = Pictures(folder, wait=wait)
    try:
        yield pictures
    finally:
        pictures.finish()
    pictures.require_all()


def write_line(lines: TextIO, record: dict[str, Any]) -> None:
    """Write one record as a line of JSON."""
    lines.write(msgspec.json.encode(record).decode() + "\n")
    lines.flush()
