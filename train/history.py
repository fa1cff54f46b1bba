"""The course of a training run as a table, `metrics.csv`: a row an epoch."""

import csv
import resource
from collections.abc import Mapping
from pathlib import Path

from runtime.record import write_atomically

HISTORY = "metrics.csv"


def add_row(out: Path, row: Mapping[str, float | int | None]) -> None:
    """Append `row` to the table in the folder `out`; its first row brings the header."""
    path = out / HISTORY
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if not path.stat().st_size:
            writer.writeheader()
        writer.writerow(row)


def cut(out: Path, rows: int) -> None:
    """Keep the first `rows` rows: a later one is of an epoch that was not saved."""
    path = out / HISTORY
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        write_atomically(path, "".join(lines[: rows + 1]).encode())


def cost_of(samples: int, seconds: float) -> dict[str, float | int | None]:
    """What an epoch cost: time, speed, and the most memory that the process has ever held."""
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(seconds, 2),
        "samples_per_second": round(samples / seconds, 2),
        "peak_memory_mib": round(peak_kib / 1024, 1),
    }
