"""Where verdicts go: lines of JSON, and pictures of what was found."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import msgspec

from runtime.errors import DataError


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
        if out.is_file():
            written = datetime.fromtimestamp(out.stat().st_mtime, timezone.utc)
            out.rename(out.with_name(f"{out.stem}.{written:%Y%m%dT%H%M%S%f}{out.suffix}"))
        with out.open("w", encoding="utf-8", buffering=1) as file:
            yield file
    except OSError as error:
        raise DataError(
            f"--out {out}: cannot be written ({error.strerror}); free space or choose another file"
        ) from error


def make_folder(folder: Path) -> None:
    """Make the folder for pictures, if it is not there.

    Raises:
        DataError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"--save-overlays {folder}: is no folder that can be made ({error.strerror}); "
            "choose another"
        ) from error


def write_line(lines: TextIO, record: dict[str, Any]) -> None:
    """Write one record as a line of JSON."""
    lines.write(msgspec.json.encode(record).decode() + "\n")
    lines.flush()
