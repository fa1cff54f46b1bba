"""Datasets as they come: both layouts are read, and what is wrong is named with its mend."""

import csv
import hashlib
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.errors import DataError
from runtime.images import write_png
from train.dataset import (
    SPLITS_FILE,
    check_sample,
    largest_defect_px,
    read_dataset,
    read_mask,
    write_splits,
)
from train.drawing import MaskFile
from train.readers.split_csv import COLUMNS
from train.sample import Sample

REAL_SETS = Path(__file__).parents[2] / "shared/datasets"
HEIGHT, WIDTH = 24, 32
ROWS = (
    ("images/a.png", "masks/a.png", "1", "pit", "train", "part 1"),
    ("images/b.png", "masks/b.png", "0", "good", "train", "part 1"),
    ("images/c.png", "", "0", "", "val", ""),
    ("images/d.png", "masks/d.png", "1", "", "test", ""),
)


def draw(path, *, defective=False, size=(HEIGHT, WIDTH), value=255):
    """Write a file that is zero but for a defect of 6 pixels."""
    pixels = np.zeros(size, np.uint8)
    pixels[4:6, 5:8] = value if defective else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, pixels)


def write_table(root, rows, columns=COLUMNS, encoding="utf-8"):
    with (root / "split.csv").open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def table_set(tmp_path):
    for image, mask, label, *_ in ROWS:
        draw(tmp_path / image)
        if mask:
            draw(tmp_path / mask, defective=label == "1")
    write_table(tmp_path, ROWS)
    return tmp_path


@pytest.fixture
def folder_set(tmp_path):
    """Ten good images, half of them with an empty mask, and five defective ones."""
    for number in range(10):
        draw(tmp_path / f"images/good{number}.png")
        if number % 2:
            draw(tmp_path / f"masks/good{number}.png")
    for number in range(5):
        draw(tmp_path / f"images/deep/bad{number}.png")
        draw(tmp_path / f"masks/deep/bad{number}.png", defective=True)
    return tmp_path


def test_a_table_gives_its_rows_in_order(table_set):
    a, b, c, d = read_dataset(table_set).samples
    masks = table_set / "masks"
    image = table_set / "images/a.png"
    drawing = MaskFile(masks / "a.png", 2)
    assert a == Sample("images/a.png", image, drawing, True, "pit", "train", "part 1")  # noqa: FBT003
    assert read_dataset(table_set).class_names == ("defect", "pit")
    assert (b.defective, b.kind, b.group) == (False, "good", "part 1")
    assert (c.drawing, c.kind, c.split, c.group) == (None, "good", "val", "images/c.png")
    assert (d.kind, d.split, d.group) == ("defect", "test", "images/d.png")


def test_columns_in_another_order_and_more_of_them_are_fine(table_set):
    expected = read_dataset(table_set)
    rows = [(*reversed(row), "0.5") for row in ROWS]
    write_table(table_set, rows, (*reversed(COLUMNS), "contrast"))
    assert read_dataset(table_set) == expected


def test_a_table_that_a_spreadsheet_saved_is_read(table_set):
    expected = read_dataset(table_set)
    write_table(table_set, ROWS, encoding="utf-8-sig")
    assert read_dataset(table_set) == expected


def test_a_table_that_is_no_utf8_is_refused(table_set):
    write_table(table_set, [(*ROWS[0][:3], "Brösel", *ROWS[0][4:])], encoding="latin-1")
    with pytest.raises(DataError, match=r"split\.csv: is no UTF-8 text .*; save it as UTF-8"):
        read_dataset(table_set)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(table_set, column):
    write_table(table_set, ROWS, ["other" if name == column else name for name in COLUMNS])
    message = rf"split\.csv: columns \['{column}'\] are missing; expected \['file', 'mask',"
    with pytest.raises(DataError, match=message):
        read_dataset(table_set)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", "2", r"split\.csv:3: label is '2', expected 0 or 1"),
        ("label", "", r"split\.csv:3: label is '', expected 0 or 1"),
        ("split", "dev", r"split\.csv:3: split is 'dev', expected one of .*'train', 'val', 'test'"),
        ("file", "images/x.png", r"images/x\.png: is missing.* 'images/x\.png'.*restore the file"),
        ("file", "images/a.png", r"split\.csv:3: 'images/a\.png' stands in line 2 too; draw all"),
        ("mask", "masks/x.png", r"masks/x\.png: is missing.* sample 'images/b\.png'.*restore"),
    ],
)
def test_a_wrong_field_is_named_with_its_line_or_file(table_set, column, value, message):
    wrong = list(ROWS[1])
    wrong[COLUMNS.index(column)] = value
    write_table(table_set, [ROWS[0], wrong, *ROWS[2:]])
    with pytest.raises(DataError, match=message):
        read_dataset(table_set)


def test_a_row_that_ends_early_is_named(table_set):
    write_table(table_set, [ROWS[0], ("images/b.png",)])
    with pytest.raises(DataError, match=r"split\.csv:3: label is '', expected 0 or 1"):
        read_dataset(table_set)


def test_a_folder_without_a_dataset_is_refused_with_what_was_expected(tmp_path):
    message = rf"{tmp_path}: no dataset; put images into .* another of the layouts split\.csv, "
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="images: holds no image; put the samples there"):
        read_dataset(tmp_path)


def test_an_empty_split_is_named_with_those_that_are_not(table_set):
    write_table(table_set, ROWS[:3])
    message = r"split 'test' is empty, the set has \['train', 'val'\]; put samples there"
    with pytest.raises(DataError, match=message):
        read_dataset(table_set).split("test")


def test_all_is_every_split(table_set):
    dataset = read_dataset(table_set)
    assert dataset.split("all") == dataset.samples


def test_a_split_holds_its_samples_in_order(table_set):
    assert [s.name for s in read_dataset(table_set).split("train")] == [
        "images/a.png",
        "images/b.png",
    ]


def test_in_a_pair_of_folders_only_a_mask_that_is_not_empty_makes_a_defect(folder_set):
    samples = read_dataset(folder_set).samples
    assert {s.name for s in samples if s.defective} == {f"images/deep/bad{n}.png" for n in range(5)}
    assert Counter((s.kind, s.drawing is None) for s in samples) == {
        ("good", True): 5,
        ("good", False): 5,
        ("defect", False): 5,
    }


def test_folders_named_after_splits_give_the_split(tmp_path):
    for split, defective in (("train", True), ("val", False), ("test", True)):
        draw(tmp_path / f"images/{split}/x.png")
        draw(tmp_path / f"masks/{split}/x.png", defective=defective)
    assert [(s.name, s.split, s.defective) for s in read_dataset(tmp_path).samples] == [
        ("images/test/x.png", "test", True),
        ("images/train/x.png", "train", True),
        ("images/val/x.png", "val", False),
    ]


def test_without_them_three_in_five_of_each_kind_are_for_training(folder_set):
    dataset = read_dataset(folder_set)
    assert dataset.split_was_made
    assert Counter((s.kind, s.split) for s in dataset.samples) == {
        ("defect", "train"): 3,
        ("defect", "val"): 1,
        ("defect", "test"): 1,
        ("good", "train"): 6,
        ("good", "val"): 2,
        ("good", "test"): 2,
    }


def test_a_split_that_was_written_down_is_kept_when_samples_come(folder_set):
    before = read_dataset(folder_set)
    write_splits(folder_set / SPLITS_FILE, before.samples)
    assert read_dataset(folder_set).samples == before.samples
    assert not read_dataset(folder_set).split_was_made
    draw(folder_set / "images/another.png")
    message = r"splits\.csv: split of 'images/another\.png' is None, expected one of .*; give it"
    with pytest.raises(DataError, match=message):
        read_dataset(folder_set)


def test_a_mask_that_belongs_to_no_image_is_refused(folder_set):
    draw(folder_set / "masks/mispelled.png", defective=True)
    message = r"masks/mispelled\.png: no image has this mask's name"
    with pytest.raises(DataError, match=message):
        read_dataset(folder_set)


def test_one_image_outside_the_folders_of_the_splits_is_refused(tmp_path):
    for name in ("train/a", "val/b", "c"):
        draw(tmp_path / f"images/{name}.png")
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"images/c\.png: lies in none of the folders"):
        read_dataset(tmp_path)


def test_an_empty_mask_of_a_defect_is_refused(table_set):
    defective, good = read_dataset(table_set).samples[:2]
    check_sample(defective)
    check_sample(good)
    draw(table_set / "masks/a.png")
    message = r"masks/a\.png: 'images/a\.png' is labelled defective, but nothing is drawn; draw the"
    with pytest.raises(DataError, match=message):
        check_sample(defective)


def test_a_defect_on_a_good_sample_is_refused(table_set):
    good = read_dataset(table_set).samples[1]
    draw(table_set / "masks/b.png", defective=True)
    message = r"masks/b\.png: 'images/b\.png' is labelled good, but a defect is drawn; label it"
    with pytest.raises(DataError, match=message):
        check_sample(good)


def test_a_defect_may_be_known_without_being_drawn(table_set):
    check_sample(replace(read_dataset(table_set).samples[0], drawing=None))


def test_the_split_depends_on_the_names_alone(folder_set, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "set"
    shutil.copytree(folder_set, elsewhere)
    first, second = (read_dataset(root).samples for root in (folder_set, elsewhere))
    assert [(s.name, s.split) for s in first] == [(s.name, s.split) for s in second]


@pytest.mark.parametrize("layout", ["table_set", "folder_set"])
def test_the_same_set_has_the_same_digest_anywhere(layout, request, tmp_path_factory):
    root = request.getfixturevalue(layout)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "set"
    shutil.copytree(root, elsewhere)
    assert read_dataset(root).digest == read_dataset(elsewhere).digest


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:3],
        (*ROWS, ("images/e.png", "", "0", "", "val", "")),
        (ROWS[1], ROWS[0], *ROWS[2:]),
        (("images/e.png", *ROWS[0][1:]), *ROWS[1:]),
        ((*ROWS[0][:2], "0", "", *ROWS[0][4:]), *ROWS[1:]),
        ((*ROWS[0][:3], "crack", *ROWS[0][4:]), *ROWS[1:]),
        (*ROWS[:2], (*ROWS[2][:4], "test", ""), ROWS[3]),
        ((*ROWS[0][:5], "part 2"), *ROWS[1:]),
    ],
    ids=["less", "more", "order", "file", "label", "class", "split", "group"],
)
def test_the_digest_changes_when_the_list_does(table_set, rows):
    before = read_dataset(table_set).digest
    draw(table_set / "images/e.png")
    write_table(table_set, rows)
    assert read_dataset(table_set).digest != before


def test_a_group_on_both_sides_of_a_split_is_refused(table_set):
    write_table(table_set, ((*ROWS[0][:4], "test", ROWS[0][5]), *ROWS[1:]))
    message = r"group 'part 1' is in the splits train and test; images of one object belong"
    with pytest.raises(DataError, match=message):
        read_dataset(table_set)


def test_the_digest_changes_when_a_mask_is_drawn_again(table_set):
    before = read_dataset(table_set).digest
    draw(table_set / "masks/a.png")
    assert read_dataset(table_set).digest != before


def test_the_digest_changes_when_an_image_does(table_set):
    before = read_dataset(table_set).digest
    draw(table_set / "images/a.png", size=(80, 80))
    assert read_dataset(table_set).digest != before


def test_masks_with_indices_bring_their_own_classes(table_set):
    draw(table_set / "masks/a.png", defective=True, value=1)
    draw(table_set / "masks/d.png", defective=True, value=3)
    dataset = read_dataset(table_set)
    assert dataset.class_names == ("pit", "class 2", "defect")
    found = [read_mask(s, (HEIGHT, WIDTH)).max() for s in dataset.samples]
    assert found == [1, 0, 0, 3]


def test_indices_are_named_by_classes_txt_in_a_pair_of_folders(folder_set):
    draw(folder_set / "masks/deep/bad0.png", defective=True, value=2)
    for number in range(1, 5):
        draw(folder_set / f"masks/deep/bad{number}.png", defective=True, value=1)
    assert read_dataset(folder_set).class_names == ("class 1", "class 2")
    (folder_set / "classes.txt").write_text("pit\ncrack\n", encoding="utf-8-sig")
    assert read_dataset(folder_set).class_names == ("pit", "crack")
    (folder_set / "classes.txt").write_bytes("Löcher\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt: is no UTF-8 text .*; save it as UTF-8"):
        read_dataset(folder_set)
    (folder_set / "classes.txt").write_text("pit\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"classes\.txt: names 1 classes, the masks have an index 2"
    ):
        read_dataset(folder_set)


def test_a_model_of_one_class_takes_all_classes_for_it(table_set):
    taught = read_dataset(table_set).taught(("defect",))
    assert taught.class_names == ("defect",)
    assert set(np.unique(read_mask(taught.samples[0], (HEIGHT, WIDTH)))) == {0, 1}


def test_a_model_of_several_classes_knows_them_by_name(table_set):
    taught = read_dataset(table_set).taught(("pit", "crack", "defect"))
    assert [read_mask(s, (HEIGHT, WIDTH)).max() for s in taught.samples] == [1, 0, 0, 3]


def test_a_class_that_the_model_was_not_taught_is_refused(table_set):
    message = r"class 'pit' is unknown to the model, which was taught \['crack', 'defect'\]; train"
    with pytest.raises(DataError, match=message):
        read_dataset(table_set).taught(("crack", "defect"))


@pytest.mark.parametrize("changes", [{"defective": False}, {"drawing": None}])
def test_a_sample_that_is_good_or_has_no_mask_has_an_empty_one(table_set, changes):
    changed = replace(read_dataset(table_set).samples[0], **changes)
    assert not read_mask(changed, (HEIGHT, WIDTH)).any()
    assert largest_defect_px(changed) == 0


def test_an_unreadable_mask_in_a_pair_of_folders_is_named(folder_set):
    (folder_set / "masks/deep/bad0.png").write_bytes(b"pixels")
    with pytest.raises(DataError, match=r"masks/deep/bad0\.png: is not a readable image"):
        read_dataset(folder_set)


@pytest.mark.parametrize(
    ("name", "labels", "splits"),
    [
        ("magnetic_tile", {True: 388, False: 952}, {"train": 804, "val": 199, "test": 337}),
        ("neu_seg3", {True: 900}, {"train": 540, "val": 135, "test": 225}),
        ("deepcrack256", {True: 537}, {"train": 322, "val": 81, "test": 134}),
    ],
)
def test_real_sets_are_read_as_they_are_described(name, labels, splits):
    if not (REAL_SETS / name).is_dir():
        pytest.skip(f"needs the real images in {REAL_SETS / name}")
    samples = read_dataset(REAL_SETS / name).samples
    assert Counter(s.defective for s in samples) == labels
    assert Counter(s.split for s in samples) == splits
    assert len({(s.group, s.split) for s in samples}) == len({s.group for s in samples})
    by_hash = sorted(samples, key=lambda s: hashlib.sha256(s.name.encode()).digest())
    assert all((largest_defect_px(s) > 0) == s.defective for s in by_hash[:40])


def test_one_mask_of_class_2_among_many_makes_them_all_indices(tmp_path):
    for number in range(200):
        draw(tmp_path / f"images/{number:03d}.png")
        draw(tmp_path / f"masks/{number:03d}.png", defective=True, value=1 + (number == 101))
    dataset = read_dataset(tmp_path)
    assert dataset.class_names == ("class 1", "class 2")
    assert Counter(s.kind for s in dataset.samples) == {"class 1": 199, "class 2": 1}


def test_an_image_of_more_than_8_bits_is_refused(table_set):
    cv2.imwrite(str(table_set / "images/c.png"), np.full((HEIGHT, WIDTH), 4095, np.uint16))
    with pytest.raises(DataError, match=r"images/c\.png: has more than 8 bits a channel"):
        check_sample(read_dataset(table_set).samples[2])


@pytest.mark.parametrize("layout", ["mvtec", "dagm", "kolektor", "labelme", "coco", "severstal"])
def test_a_folder_of_another_layout_than_asked_for_is_refused(layout, tmp_path):
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        read_dataset(f"{tmp_path}::{layout}")
