"""What inspect-data says: the numbers of a set, and everything that is wrong with it at once."""

import json
import shutil

import cv2
import numpy as np
import pytest

from runtime.errors import DataError
from runtime.images import write_png
from train.survey import inspect_data


@pytest.fixture
def surveyed(drawn_set, tmp_path):
    """A copy of the set to spoil, and where the numbers and the sheet go."""
    root = tmp_path / "set"
    shutil.copytree(drawn_set, root)
    return root, tmp_path / "numbers.json", tmp_path / "sheet.png"


def numbers_of(root, out, sheet=None):
    """The written numbers, and the error's message, if there was one."""
    try:
        inspect_data(str(root), sheet, out)
    except DataError as error:
        return json.loads(out.read_text(encoding="utf-8")), str(error)
    return json.loads(out.read_text(encoding="utf-8")), ""


def test_a_sound_set_is_counted_and_drawn(surveyed, capsys):
    root, out, sheet = surveyed
    numbers, error = numbers_of(root, out, sheet)
    assert error == ""
    assert numbers["problems"] == []
    assert (numbers["layout"], numbers["samples"], numbers["objects"]) == ("split.csv", 25, 25)
    assert sum(sum(by_split.values()) for by_split in numbers["counts"].values()) == 25
    assert sum(by_split["train"] for by_split in numbers["counts"].values()) == 15
    assert numbers["sizes"] == {"64x64": 25}
    assert numbers["drawn"] == sum(
        sum(by_split.values()) for kind, by_split in numbers["counts"].items() if kind != "good"
    )
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] == 1280
    red = (picture == (40, 40, 230)).all(axis=2)
    assert red.any()
    assert "25 samples, 25 objects" in capsys.readouterr().out


def test_an_image_of_two_classes_counts_for_both(surveyed, tmp_path):
    _, out, _ = surveyed
    mask = np.zeros((24, 32), np.uint8)
    for place, drawn in (("images", (0, 0)), ("masks", (1, 2))):
        (tmp_path / "two" / place).mkdir(parents=True)
        mask[4:9, 5:8], mask[10:12, 20:22] = drawn
        write_png(tmp_path / "two" / place / "0.png", mask)
    numbers, _ = numbers_of(tmp_path / "two", out)
    counted = {kind: sum(by.values()) for kind, by in numbers["counts"].items()}
    assert counted == {"class 1": 1, "class 2": 1}


def test_percentiles_are_those_of_the_masks(surveyed):
    root, out, _ = surveyed
    masks = [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in root.glob("masks/*/*.png")]
    areas = [np.count_nonzero(mask) for mask in masks if mask.any()]
    numbers, _ = numbers_of(root, out)
    expected = np.percentile(areas, [10, 50, 90])
    assert list(numbers["defect_area_px"].values()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("rows", "columns"), [(1, 20), (2, 20), (20, 5), (64, 64)])
def test_a_defect_is_as_wide_as_its_shorter_side(surveyed, rows, columns):
    root, out, _ = surveyed
    for path in root.glob("masks/*/*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if mask.any():
            write_png(
                path,
                cv2.copyMakeBorder(
                    np.full((rows, columns), 255, np.uint8), 0, 64 - rows, 0, 64 - columns, 0
                ),
            )
    widths = numbers_of(root, out)[0]["defect_width_px"]
    assert set(widths.values()) == {min(rows, columns)}


def test_all_problems_are_told_at_once(surveyed, capsys):
    root, out, _ = surveyed
    table = root / "split.csv"
    rows = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()]
    defective = [row for row in rows[1:] if row[2] == "1"]
    empty, small = defective[0], defective[1]
    write_png(root / empty[1], np.zeros((64, 64), np.uint8))
    write_png(root / small[1], np.full((32, 32), 255, np.uint8))
    good = [row for row in rows if row[2] == "0"]
    first, second = (next(r for r in good if r[4] == split) for split in ("train", "test"))
    shutil.copyfile(root / first[0], root / second[0])
    shown, as_good = defective[2], good[-1]
    shutil.copyfile(root / shown[0], root / as_good[0])
    for row in (first, second):
        row[5] = "one object"
    table.write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    numbers, error = numbers_of(root, out, root.parent / "sheets" / "sheet.png")
    assert (root.parent / "sheets" / "sheet.png").exists()
    told = "\n".join(numbers["problems"])
    assert error == f"{root}: problems to mend before training: {len(numbers['problems'])}"
    assert f"'{empty[0]}' is labelled defective, but nothing is drawn" in told
    assert "mask is 32x32, its image is 64x64" in told
    assert "group 'one object' is in the splits train and test" in told
    same = "shows the same pixels as"
    assert f"'{second[0]}' (good, test) {same} '{first[0]}' (good, train); take" in told
    assert f"{same} '{shown[0]}' ({shown[3]}, {shown[4]})" in told
    assert capsys.readouterr().out.count("problem: ") == len(numbers["problems"])


def test_what_no_gate_can_be_learned_from_is_a_problem(surveyed):
    root, out, _ = surveyed
    table = root / "split.csv"
    rows = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()]
    for row in rows[1:]:
        row[1] = ""
    table.write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    numbers, error = numbers_of(root, out)
    for part in ("train", "val, first half", "val, second half"):
        lines = [line for line in numbers["problems"] if f"samples of split {part}: " in line]
        assert len(lines) == 1
        assert "are defective, none is drawn (a box is no drawing); draw masks" in lines[0]
    assert error.endswith("problems to mend before training: 3")


def test_a_defect_that_fills_its_image_has_a_size_and_no_contrast(surveyed):
    root, out, _ = surveyed
    before, _ = numbers_of(root, out)
    masks = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in root.glob("masks/*/*.png")]
    for path, mask in zip(root.glob("masks/*/*.png"), masks, strict=True):
        write_png(path, np.full_like(mask, 255) if mask.any() else mask)
    numbers, error = numbers_of(root, out)
    assert error == ""
    assert numbers["drawn"] == before["drawn"]
    assert numbers["defect_area_px"]["p10"] == 64 * 64
    assert (numbers["contrast_to_noise"], numbers["clearly_visible"]) == ({}, 0)


def test_a_set_of_which_nothing_can_be_read_is_still_told(surveyed):
    root, out, sheet = surveyed
    for image in root.glob("images/*/*.png"):
        image.write_bytes(b"no image")
    numbers, error = numbers_of(root, out, sheet)
    assert len(numbers["problems"]) == 25
    assert error.endswith("problems to mend before training: 25")
    assert not sheet.exists()


def test_a_jpeg_and_its_png_show_the_same_pixels(surveyed):
    root, out, _ = surveyed
    first, second = sorted((root / "images/train").glob("*.png"))[:2]
    colours = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), (64, 64))
    first.write_bytes(cv2.imencode(".jpg", colours)[1].tobytes())
    write_png(second, cv2.imdecode(np.fromfile(first, np.uint8), cv2.IMREAD_COLOR))
    assert numbers_of(root, out)[0]["duplicates"] == 1


@pytest.mark.parametrize("place", ["sheet.png", "images/train/sheet.png", "../set/x/sheet.png"])
def test_no_sheet_comes_among_the_images(surveyed, place):
    root, out, _ = surveyed
    with pytest.raises(DataError, match=rf"--sheet .*: lies in {root}, which is read, so pictures"):
        inspect_data(str(root), root / place, out)
    assert not list(root.rglob("sheet.png"))
