"""A dataset's splits.csv: every image once, none that is gone, and what was learned stays there."""

import shutil

import numpy as np
import pytest

from runtime.errors import DataError
from runtime.images import write_png
from train.dataset import SPLITS_FILE, read_dataset, write_splits


@pytest.fixture
def root(tmp_path):
    """A set of ten images without a split of its own, half of them defective."""
    root = tmp_path / "set"
    mask = np.zeros((24, 32), np.uint8)
    mask[4:6, 5:8] = 255
    for number in range(10):
        for kind in ("images", "masks"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            write_png(root / kind / f"{number}.png", mask * (number % 2))
    return root


@pytest.fixture
def run(root, tmp_path):
    """The folder of a run that was taught the set."""
    (tmp_path / "run").mkdir()
    write_splits(tmp_path / "run" / SPLITS_FILE, read_dataset(root).samples)
    return tmp_path / "run"


def lines_of(run):
    return (run / SPLITS_FILE).read_text(encoding="utf-8").splitlines()


def put(root, lines):
    (root / SPLITS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_dataset(root)


def test_a_file_with_two_lines_is_refused(root, run):
    lines = lines_of(run)
    again = lines[1].split(",")[0]
    with pytest.raises(DataError, match=rf"splits\.csv:12: '{again}' stands in line 2 too; keep"):
        put(root, [*lines, f"{again},test"])


def test_lines_of_files_that_are_gone_are_refused(root, run):
    gone = [f"images/{name}.png,train" for name in ("y", "x")]
    message = r"splits\.csv: 2 of 12 lines name no image of the set, such as 'images/x\.png'; rest"
    with pytest.raises(DataError, match=message):
        put(root, [*lines_of(run), *gone])


def test_what_was_learned_may_not_come_into_another_split(root, run):
    put(root, lines_of(run)).require_unchanged("of another day", run)
    learned = [line.replace(",train", ",test") for line in lines_of(run)]
    moved = sum(line.endswith(",train") for line in lines_of(run))
    message = rf"{moved} samples that .*run learned are in another split now, such as 'images/"
    with pytest.raises(DataError, match=message):
        put(root, learned).require_unchanged("of another day", run)


def test_what_was_not_learned_may(root, run):
    tested = [line.replace(",test", ",train") for line in lines_of(run)]
    put(root, tested).require_unchanged("of another day", run)


def test_what_was_learned_and_is_gone_is_still_known(root, run, tmp_path):
    learned = next(line for line in lines_of(run) if line.endswith(",train"))
    gone = learned.split(",")[0]
    (root / gone).unlink()
    (root / gone.replace("images", "masks")).unlink()
    write_splits(tmp_path / "bundle" / SPLITS_FILE, read_dataset(root).samples, run)
    assert learned in lines_of(tmp_path / "bundle")
    assert len(lines_of(tmp_path / "bundle")) == len(lines_of(run))


def test_a_bundle_knows_what_its_model_learned(float_bundle, visible_set, tmp_path):
    shutil.copytree(visible_set, tmp_path / "set")
    lines = lines_of(float_bundle)
    put(tmp_path / "set", lines).require_unchanged("of another day", float_bundle)
    moved = [line.replace(",train", ",test") for line in lines]
    with pytest.raises(DataError, match=r"samples that .*bundle learned are in another split now"):
        put(tmp_path / "set", moved).require_unchanged("of another day", float_bundle)
