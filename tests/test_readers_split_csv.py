"""Tables as people write them: what contradicts itself is refused, blanks say nothing."""

import csv

import numpy as np
import pytest

from runtime.errors import DataError
from runtime.images import write_png
from train.dataset import read_dataset
from train.readers.split_csv import COLUMNS

ROWS = (
    ("a.png", "a_mask.png", "1", "pit", "train", "part 1"),
    ("b.png", "", "0", "good", "train", "part 1"),
    ("c.png", "", "0", "", "val", ""),
    ("d.png", "a_mask.png", "1", "", "test", ""),
)


@pytest.fixture
def write(tmp_path):
    """Writes the table of a set, and gives the set's folder."""
    mask = np.zeros((24, 32), np.uint8)
    mask[4:6, 5:8] = 255
    write_png(tmp_path / "a_mask.png", mask)
    for name in "abcd":
        write_png(tmp_path / f"{name}.png", np.zeros((24, 32), np.uint8))

    def write(rows):
        with (tmp_path / "split.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        return tmp_path

    return write


@pytest.mark.parametrize("name", ["good", "normal", "OK"])
def test_a_class_of_defects_has_the_name_of_one(write, name):
    root = write([(*ROWS[0][:3], name, *ROWS[0][4:]), *ROWS[1:3]])
    with pytest.raises(DataError, match=f"a class of defects is called '{name}'; give it the name"):
        read_dataset(root)


def test_a_good_part_has_no_class_of_defects(write):
    root = write([*ROWS[:2], ("c.png", "", "0", "pit", "val", "")])
    with pytest.raises(DataError, match=r"split.csv:4: label is 0, which is good, and class 'pit'"):
        read_dataset(root)
    root = write([*ROWS[:2], ("c.png", "", "0", "bottle", "val", "")])
    assert [sample.kind for sample in read_dataset(root).samples] == ["pit", "good", "good"]


def test_blanks_around_a_group_or_a_class_say_nothing(write):
    expected = read_dataset(write(ROWS))
    assert (
        read_dataset(write([(*r[:2], *(f"{cell} " for cell in r[2:])) for r in ROWS])) == expected
    )


def test_a_quote_that_is_not_closed_is_refused(write):
    table = write(ROWS) / "split.csv"
    table.write_text(table.read_text().replace(",pit,", ',"pit,'))
    with pytest.raises(DataError, match=r"split.csv: is no CSV table \(unexpected end of data\)"):
        read_dataset(table.parent)


def test_a_file_is_listed_once_whatever_its_path(write):
    root = write([*ROWS, ("x/../a.png", "", "0", "", "train", "")])
    with pytest.raises(DataError, match=r"split.csv:6: 'x/../a.png' stands in line 2 too"):
        read_dataset(root)
