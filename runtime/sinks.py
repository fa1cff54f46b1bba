"""Where verdicts go: lines of JSON, and pictures of what was found."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec

from runtime.errors import DataError


@contextmanager
def open_lines(out: Path | None) -> Iterator[TextIO]:
    """The text file `out`, each line written through as it comes; standard output without one.

    Raises:
        DataError: the file cannot be written.
    """
    if out is None:
        yield sys.stdout
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written ({error.strerror})") from error
    with file:
        yield file


def write_line(lines: TextIO, record: dict[str, Any]) -> None:
    """Write one record as a line of JSON."""
    lines.write(msgspec.json.encode(record).decode() + "\n")
    lines.flush()
