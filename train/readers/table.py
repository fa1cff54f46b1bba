"""The rows of a CSV table with the columns that a layout needs."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import DataError

csv.field_size_limit(2**31 - 1)  # run lengths of a large mask are one cell


def refuse_doubles(table: Path, rows: Sequence[tuple[int, dict[str, str]]], mend: str) -> None:
    """Refuse a second line of one file.

    Raises:
        DataError: there is one.
    """
    lines: dict[str, int] = {}
    for line, row in rows:
        first = lines.setdefault(os.path.normpath(table.parent / row["file"]), line)
        if first != line:
            raise DataError(f"{table}:{line}: '{row['file']}' stands in line {first} too; {mend}")


def rows_of(table: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of each row; cells that a row lacks are empty.

    Raises:
        DataError: unreadable, no UTF-8 text, or without one of `columns`.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark
            reader = csv.DictReader(file, restval="", strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{table}: columns {missing} are missing; expected {list(columns)}, "
                    "with commas between"
                )
            return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{table}: is no CSV table ({error}); save it as one") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{table}: is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror}); write one") from error
