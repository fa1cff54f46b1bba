"""YOLO's texts as the tools write them: outlines and boxes, found, split and drawn."""

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.errors import DataError
from train.dataset import read_dataset
from train.readers import format_of, yolo

HEIGHT, WIDTH = 8, 16
# as ultralytics writes the contour of a mask: of x 4 to 7 and y 2 to 5
OUTLINE = "0.25 0.25 0.25 0.625 0.4375 0.625 0.4375 0.25"
OUTLINE_PIXELS = np.s_[2:6, 4:8]
SMALL = "0.75 0.5 0.75 0.625 0.8125 0.625 0.8125 0.5"
SMALL_PIXELS = np.s_[4:6, 12:14]
BOX = "0.5 0.5 0.9 0.9"


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(path)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_pair(root, image, *lines):
    write_image(root / image)
    write((root / image.replace("images/", "labels/")).with_suffix(".txt"), *lines)


def read_one(root, *lines):
    write_pair(root, "images/a.png", *lines)
    return yolo.read(root).samples[0]


def drawn(sample):
    return sample.drawing.draw((HEIGHT, WIDTH))


def write_roboflow(root):
    for folder in ("train", "valid", "test"):
        write_pair(root, f"{folder}/images/{folder}.jpg", f"1 {OUTLINE}")
    write(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n",
        "nc: 2\nnames: ['pit', 'scratch']\n",
        "roboflow:\n  workspace: mine\n  version: 2",
    )
    write(root / "README.roboflow.txt", "mine - v2", "=====")
    splits = {"train": "train", "valid": "val", "test": "test"}
    return {f"{f}/images/{f}.jpg": split for f, split in splits.items()}, ("pit", "scratch")


def write_ultralytics(root):
    for folder in ("train", "val"):
        write_pair(root, f"images/{folder}/a.jpg", f"0 {OUTLINE}")
    write(
        root / "steel.yaml",
        "path: ../datasets/steel # dataset root dir\ntrain: images/train\nval: images/val",
        "test: # optional",
        "names:\n  0: pit\n  1: scratch",
    )
    return {"images/train/a.jpg": "train", "images/val/a.jpg": "val"}, ("pit", "scratch")


def write_lists(root):
    for name in ("a", "b"):
        write_pair(root, f"images/line3/{name}.jpg", f"0 {OUTLINE}")
    write(root / "train2017.txt", "./images/line3/a.jpg")
    write(root / "val2017.txt", "C:\\sets\\steel\\images\\line3\\b.jpg")
    write(root / "coco.yaml", "train: train2017.txt\nval: [val2017.txt]\nnames: [pit]")
    return {"images/line3/a.jpg": "train", "images/line3/b.jpg": "val"}, ("pit",)


def write_label_studio(root):
    write_pair(root, "images/a.jpg", f"0 {OUTLINE}")
    write(root / "classes.txt", "pit")
    write(root / "notes.json", "{}")
    return {"images/a.jpg": ""}, ("pit",)


def write_darknet(root):
    write_image(root / "obj_train_data/a.jpg")
    write(root / "obj_train_data/a.txt", f"0 {OUTLINE}")
    write(root / "train.txt", "data/obj_train_data/a.jpg")
    write(root / "obj.data", "classes = 1")
    write(root / "obj.names", "pit", "")
    return {"obj_train_data/a.jpg": ""}, ("pit",)


@pytest.mark.parametrize(
    "write_tree",
    [write_roboflow, write_ultralytics, write_lists, write_label_studio, write_darknet],
)
def test_a_tree_is_recognised_split_and_named(tmp_path, write_tree):
    splits, names = write_tree(tmp_path)
    assert format_of(tmp_path) == "yolo"
    listing = yolo.read(tmp_path)
    assert {sample.name: sample.split for sample in listing.samples} == splits
    assert listing.class_names == names
    for sample in listing.samples:
        assert sample.defective
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[OUTLINE_PIXELS] = names.index(sample.kind) + 1
        np.testing.assert_array_equal(drawn(sample), expected)


def test_outlines_lie_in_the_order_of_the_file_and_the_larger_class_is_the_kind(tmp_path):
    sample = read_one(tmp_path, f"0 {OUTLINE}", f"2 {SMALL}", "", f"2.0 {SMALL}")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[OUTLINE_PIXELS] = 1
    expected[SMALL_PIXELS] = 3
    np.testing.assert_array_equal(drawn(sample), expected)
    assert sample.kind == "class 0"


def test_an_outline_that_is_rounded_beyond_the_image_ends_at_its_edge(tmp_path):
    sample = read_one(tmp_path, "0 -0.001 0.5 1.001 0.5 1.001 1e0 -1e-3 1")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[4:] = 1
    np.testing.assert_array_equal(drawn(sample), expected)


@pytest.mark.parametrize("shape", [(200, 200), (37, 1001), (4096, 3001)])
def test_a_mask_that_became_an_outline_is_drawn_as_it_was(tmp_path, shape):
    """By the contour and the six digits of ultralytics' own conversion."""
    mask = np.zeros(shape, np.uint8)
    height, width = shape
    cv2.ellipse(mask, (width // 2, height // 2), (width // 3, height // 5), 30, 0, 360, 1, -1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    numbers = " ".join(f"{x / width:.6f} {y / height:.6f}" for x, y in contours[0][:, 0])
    np.testing.assert_array_equal(read_one(tmp_path, f"0 {numbers}").drawing.draw(shape), mask)


def test_an_image_with_a_box_is_defective_and_nobody_knows_where(tmp_path):
    sample = read_one(tmp_path, f"0 {OUTLINE}", f"1 {BOX}")
    assert sample.defective
    assert sample.drawing is None
    assert sample.kind == "class 1"


def test_an_image_without_a_text_or_with_an_empty_one_is_good(tmp_path):
    write_pair(tmp_path, "images/a.png", f"0 {OUTLINE}")
    write_pair(tmp_path, "images/NG/b.png")
    write_image(tmp_path / "images/c.png")
    write_image(tmp_path / "runs/prediction.png")
    samples = yolo.read(tmp_path).samples
    assert {s.name: s.kind for s in samples} == {
        "images/a.png": "class 0",
        "images/NG/b.png": "good",
        "images/c.png": "good",
    }


def test_images_that_share_a_text_show_one_object(tmp_path):
    write_pair(tmp_path, "images/a.png", f"0 {OUTLINE}")
    write_image(tmp_path / "images/a.bmp")
    first, second = yolo.read(tmp_path).samples
    assert first.group == second.group


def test_a_class_called_good_that_nothing_has_is_none(tmp_path):
    write(tmp_path / "labels/classes.txt", "Good", "pit")
    assert drawn(read_one(tmp_path, f"1 {OUTLINE}")).max() == 1
    assert yolo.read(tmp_path).class_names == ("pit",)


def test_the_drawing_changes_the_digest(tmp_path):
    write_pair(tmp_path, "images/a.png", f"0 {OUTLINE}")
    before = read_dataset(tmp_path).digest
    write_pair(tmp_path, "images/a.png", f"0 {SMALL}")
    assert read_dataset(tmp_path).digest != before


def test_masks_say_more_than_texts(tmp_path):
    write_pair(tmp_path, "images/train/a.png", f"0 {OUTLINE}")
    write_image(tmp_path / "masks/train/a.png")
    assert format_of(tmp_path) == "folders"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", r"labels/a.txt:2: is neither an outline .* nor a box"),
        ("0 0.5 0.5 0.1 0.1 0.87", "is neither an outline"),
        ("0 0.5 0.5 0.1 0.1 0.5 0.5 0.9", "is neither an outline"),
        ("pit 0.5 0.5 0.1 0.1", "is neither an outline"),
        (f"{'9' * 400} 0.5 0.5 0.1 0.1", "is neither an outline"),
        ("0 0.5 nan 0.1 0.1", "is neither an outline"),
        ("0 0.5 1e 0.1 0.1", "is neither an outline"),
        ("0 120 40 130 40 130 60", "a.txt:2: has numbers outside of 0 to 1, which are shares"),
        ("0 0.5 0.5 1.2 0.1", "has numbers outside of 0 to 1"),
    ],
)
def test_a_line_that_says_nothing_certain_is_refused(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        read_one(tmp_path, f"0 {OUTLINE}", line)


def test_an_outline_along_a_thin_defect_is_a_line_of_one_pixel(tmp_path):
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:6, WIDTH - 1] = 1
    sample = read_one(tmp_path, "0 1.005 0.25 1.005 0.7 0.96 0.3")
    np.testing.assert_array_equal(drawn(sample), expected)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data.yaml", "names: [pit, dent]", r"a.txt:1: is of class 2, the names are .* \[0, 1\]"),
        ("data.yaml", "names: {0: pit, 1: [dent]}", r"data.yaml: Expected `int \| str`, got `arr"),
        (
            "data.yaml",
            "names: [pit",
            r"data.yaml: while parsing .* line 2, column 1; mend it, or take it out$",
        ),
        ("classes.txt", "pit", r"is of class 2, the names are those of \[0\]"),
        ("labels/b.txt", f"0 {OUTLINE}", "b.txt: has labels, but no image has its name; restore"),
        ("data.yaml", "names: [pit, dent, dent]", "two classes of defects are called 'dent'"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, file, text, message):
    write_pair(tmp_path, "images/a.png", f"2 {OUTLINE}")
    write(tmp_path / file, text)
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("a.yaml", "b.yml"), "b.yml: names classes as a.yaml does"),
        (("classes.txt", "labels/classes.txt"), "classes.txt: names other classes than"),
    ],
)
def test_two_files_of_names_are_refused(tmp_path, files, message):
    write_pair(tmp_path, "images/a.png", f"0 {OUTLINE}")
    for name in files:
        write(tmp_path / name, f"names: [{name}]")
    with pytest.raises(DataError, match=message):
        yolo.read(tmp_path)


def test_an_image_without_a_text_in_a_folder_called_bad_is_refused(tmp_path):
    write_pair(tmp_path, "images/a.png", f"0 {OUTLINE}")
    write_image(tmp_path / "images/NG/b.png")
    with pytest.raises(DataError, match="in a folder 'NG'; draw its defect, or an empty text"):
        yolo.read(tmp_path)
