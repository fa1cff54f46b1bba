"""Folders of images and masks as people lay them out: none of their defects counts as good."""

import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.errors import DataError
from runtime.images import write_png
from train.dataset import problems, read_dataset
from train.readers import format_of


def draw(path, value=0):
    """Write a file that is zero but for a defect of six pixels, of `value`."""
    pixels = np.zeros((24, 32), np.uint8)
    pixels[4:6, 5:8] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, pixels)


def draw_pairs(images, masks, n=3, value=255):
    """`n` images, the first with a defect, and all their masks."""
    for number in range(n):
        draw(images / f"{number}.png")
        draw(masks / f"{number}.png", 0 if number else value)


def said(root):
    return [(s.name, s.split, s.kind) for s in read_dataset(root).samples]


@pytest.mark.parametrize("names", [("Train", "Val", "TEST"), ("training", "Valid", "Testing")])
def test_folders_of_splits_may_be_written_with_capitals(tmp_path, names):
    for name in names:
        draw_pairs(tmp_path / "images" / name, tmp_path / "masks" / name, n=1)
    assert sorted((split, kind) for _, split, kind in said(tmp_path)) == [
        ("test", "defect"),
        ("train", "defect"),
        ("val", "defect"),
    ]


def test_folders_of_splits_may_lie_above(tmp_path):
    for split in ("train", "valid", "test"):
        draw_pairs(tmp_path / split / "images", tmp_path / split / "masks", n=2)
    assert format_of(tmp_path) == "folders"
    assert said(tmp_path) == [
        ("test/images/0.png", "test", "defect"),
        ("test/images/1.png", "test", "good"),
        ("train/images/0.png", "train", "defect"),
        ("train/images/1.png", "train", "good"),
        ("valid/images/0.png", "val", "defect"),
        ("valid/images/1.png", "val", "good"),
    ]


def test_a_folder_that_is_a_link_is_read(tmp_path):
    draw_pairs(tmp_path / "elsewhere/images", tmp_path / "elsewhere/masks")
    for kind in ("images", "masks"):
        draw(tmp_path / f"set/{kind}/train/a.png")
        (tmp_path / f"set/{kind}/test").symlink_to(tmp_path / "elsewhere" / kind)
    splits = [(split, kind) for _, split, kind in said(tmp_path / "set")]
    assert splits.count(("test", "defect")) == 1
    assert splits.count(("test", "good")) == 2


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    for name in ("again", "and again"):
        (tmp_path / "images" / name).symlink_to(tmp_path / "images")
    assert len(said(tmp_path)) == 3


def test_smaller_copies_beside_the_images_are_nothing(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "images_small", value=0)
    assert [kind for *_, kind in said(tmp_path)] == ["good"] * 3


def test_what_is_hidden_is_no_sample(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks", n=1)
    (tmp_path / "images/._0.png").write_bytes(b"\0\5\26\7")
    draw(tmp_path / "images/.thumbnails/0.png")
    assert said(tmp_path) == [("images/0.png", "train", "defect")]


@pytest.mark.parametrize("name", ["masks/0.gif", "labels/0.png", "labels/0.txt"])
def test_a_mask_that_would_not_be_read_is_refused(tmp_path, name):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "masks/0.png").rename(tmp_path / name)
    if name.startswith("labels"):
        shutil.rmtree(tmp_path / "masks")
    message = rf"{name}: has the name of an image and is not read.* as PNG in .*masks"
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path)


@pytest.mark.parametrize("folder", ["bad", "train/NG", "defective/of today"])
def test_an_image_without_a_mask_in_a_folder_of_bad_ones_is_refused(tmp_path, folder):
    for kind in ("images", "masks"):
        draw(tmp_path / f"{kind}/{folder}/0.png")
    assert len(said(tmp_path)) == 1
    draw(tmp_path / f"images/{folder}/1.png")
    with pytest.raises(DataError, match=r"1\.png: has no mask, so it would count as good, in a "):
        read_dataset(tmp_path)


def test_a_file_beside_a_mask_that_is_read_is_nothing(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "masks/0.json").write_text("{}")
    assert [kind for *_, kind in said(tmp_path)] == ["defect", "good", "good"]


def test_a_text_of_labels_beside_masks_is_refused_where_there_is_no_mask(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "labels").mkdir()
    for number, text in enumerate(("0 0.5 0.5 0.1 0.1", "")):
        (tmp_path / f"labels/{number}.txt").write_text(text)
    assert len(said(tmp_path)) == 3
    draw(tmp_path / "images/9.png")
    (tmp_path / "labels/9.txt").write_text("0 0.5 0.5 0.1 0.1")
    message = (
        rf"labels/9\.txt: has the name of an image and is not .* by {tmp_path}::yolo, save its"
    )
    with pytest.raises(DataError, match=message):
        said(tmp_path)


def test_two_masks_of_one_image_are_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    draw(tmp_path / "masks/0.bmp")
    with pytest.raises(DataError, match=r"masks/0\.png: has the image of 0\.bmp; take one of the"):
        read_dataset(tmp_path)


def test_names_of_classes_make_masks_of_0_and_1_the_first_class(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks", value=1)
    (tmp_path / "classes.txt").write_text("pit\ncrack\n\n")
    assert read_dataset(tmp_path).class_names == ("pit", "crack")
    assert said(tmp_path)[0][2] == "pit"


def test_names_of_classes_that_no_mask_tells_apart_are_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks", value=255)
    (tmp_path / "classes.txt").write_text("background\npit\n")
    assert read_dataset(tmp_path).class_names == ("defect",)
    (tmp_path / "classes.txt").write_text("pit\ncrack\n")
    with pytest.raises(DataError, match=r"classes\.txt: names 2 classes, but the masks are"):
        read_dataset(tmp_path)


def test_an_empty_line_among_the_names_of_classes_is_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks", value=2)
    (tmp_path / "classes.txt").write_text("pit\n\ncrack\n")
    with pytest.raises(DataError, match=r"classes\.txt:2: is empty; write the name of that class"):
        read_dataset(tmp_path)


def test_a_model_of_several_classes_takes_a_set_that_is_all_good(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks", value=0)
    taught = read_dataset(tmp_path).taught(("pit", "crack"))
    assert taught.class_names == ("pit", "crack")
    assert not any(sample.defective for sample in taught.samples)


def test_a_name_in_another_encoding_is_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    draw(tmp_path / "images/a.png")
    (tmp_path / "images/a.png").rename(tmp_path / os.fsdecode(b"images/Gr\xf6sse.png"))
    with pytest.raises(DataError, match=r"the name 'images/Gr\\xf6sse\.png' is no UTF-8; rename"):
        read_dataset(tmp_path)


def test_a_folder_of_masks_that_is_a_link_to_nowhere_is_refused(tmp_path):
    draw_pairs(tmp_path / "images/day 1", tmp_path / "masks/day 1")
    draw(tmp_path / "images/day 2/0.png")
    (tmp_path / "masks/day 2").symlink_to(tmp_path / "a disk that is not there")
    with pytest.raises(DataError, match=r"masks/day 2: cannot be read \(No such file or directory"):
        read_dataset(tmp_path)


def test_a_folder_of_masks_with_a_dot_that_is_a_link_to_nowhere_is_refused(tmp_path):
    draw_pairs(tmp_path / "images/run1.2", tmp_path / "masks")
    (tmp_path / "masks/run1.2").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"run1\.2: cannot be read"):
        read_dataset(tmp_path)


def test_a_mask_of_several_pictures_is_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "masks/0.png").unlink()
    pages = [np.zeros((24, 32), np.uint8), np.full((24, 32), 255, np.uint8)]
    cv2.imwritemulti(str(tmp_path / "masks/0.tif"), pages)
    with pytest.raises(
        DataError, match=r"masks/0\.tif: holds 2 pictures, .* draw all defects into"
    ):
        read_dataset(tmp_path)


def test_images_of_two_lights_may_share_their_masks_by_a_link(tmp_path):
    draw_pairs(tmp_path / "images/light1", tmp_path / "masks/light1")
    draw_pairs(tmp_path / "images/light2", tmp_path / "elsewhere")
    (tmp_path / "masks/light2").symlink_to(tmp_path / "masks/light1")
    kinds = [kind for _, _, kind in said(tmp_path)]
    assert kinds == ["defect", "good", "good"] * 2


def test_masks_that_links_lead_to_in_a_circle_are_read_once(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "masks/again").symlink_to(tmp_path / "masks")
    assert [kind for _, _, kind in said(tmp_path)] == ["defect", "good", "good"]


def test_masks_in_a_second_folder_are_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    draw(tmp_path / "images/3.png")
    draw(tmp_path / "annotations/3.png", 255)
    with pytest.raises(DataError, match=r"annotations/3\.png: has the name of an image and is not"):
        read_dataset(tmp_path)


def test_masks_in_a_folder_of_another_name_are_refused_whatever_theirs(tmp_path):
    for split in ("train", "val"):
        draw_pairs(tmp_path / split / "images", tmp_path / split / "masks")
    draw(tmp_path / "test/images/0.png")
    draw(tmp_path / "test/Masks/0_mask.png", 255)
    message = (
        r"test/Masks/0_mask\.png: is not read, so an image would count as good; put masks into"
    )
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path)


def test_a_split_may_lie_at_any_depth_below_the_images(tmp_path):
    for split in ("train", "val", "test"):
        draw_pairs(tmp_path / "images/line 3" / split, tmp_path / "masks/line 3" / split)
    assert {name.split("/")[2]: split for name, split, _ in said(tmp_path)} == {
        "train": "train",
        "val": "val",
        "test": "test",
    }


def test_images_that_share_a_mask_are_of_one_object(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    draw(tmp_path / "images/0.bmp")
    groups = {sample.name: sample.group for sample in read_dataset(tmp_path).samples}
    assert groups["images/0.bmp"] == groups["images/0.png"] == "0.bmp"
    assert len(set(groups.values())) == 3


@pytest.mark.parametrize("first", ["background", "_background_", "0 Background"])
def test_classes_do_not_begin_with_the_background(tmp_path, first):
    draw_pairs(tmp_path / "images", tmp_path / "masks", value=2)
    (tmp_path / "classes.txt").write_text(f"{first}\npit\n")
    with pytest.raises(
        DataError, match=rf"classes\.txt: begins with '{first}', expected the class"
    ):
        read_dataset(tmp_path)


def test_two_classes_of_one_name_are_refused(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks", value=2)
    (tmp_path / "classes.txt").write_text("pit\npit\n")
    with pytest.raises(DataError, match="two classes of defects are called 'pit'; rename one"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("orientation", "size", "is_wrong"),
    [(1, (32, 24), False), (3, (32, 24), True), (6, (24, 32), False)],
)
def test_an_image_that_is_turned_when_it_is_read_has_no_mask_as_stored(
    tmp_path, orientation, size, is_wrong
):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "images/0.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("L", size).save(tmp_path / "images/0.jpg", exif=exif)
    found = list(problems(read_dataset(tmp_path).samples[0]))
    assert len(found) == is_wrong
    assert not found or "0.jpg: is turned when it is read, by its EXIF orientation" in found[0]


def test_what_is_no_mask_of_another_is_nothing(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "masks")
    draw(tmp_path / "images/3.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/3.xml").write_text("<annotation></annotation>")
    draw(tmp_path / "background/3.png")
    assert [kind for _, _, kind in said(tmp_path)] == ["defect", "good", "good", "good"]


def test_folders_that_only_have_a_background_beside_them_are_read(tmp_path):
    draw_pairs(tmp_path / "images", tmp_path / "elsewhere")
    draw(tmp_path / "background/0.png")
    assert {kind for _, _, kind in said(tmp_path)} == {"good"}
