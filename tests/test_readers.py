"""Published layouts: each is told from the others and read as its tree says."""

import csv

import numpy as np
import pytest
from PIL import Image

from runtime.errors import DataError
from train.readers import FORMATS, format_of

HEIGHT, WIDTH = 6, 8
PART = np.full((HEIGHT, WIDTH), 90, np.uint8)
CLEAN = np.zeros((HEIGHT, WIDTH), np.uint8)
SPOT = CLEAN.copy()
SPOT[1:3, 2:5] = 1


def write(path, pixels=PART):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_split_csv(root):
    write(root / "images/a.png")
    header = ("file", "mask", "label", "class", "split", "group")
    write_table(root / "split.csv", header, ("images/a.png", "", "0", "", "", ""))


def write_folders(root):
    write(root / "images/train/a.png")
    write(root / "masks/train/a.png", SPOT * 255)


def write_kolektor2(root):
    for name, mask in {"train/10000": SPOT, "train/10001": CLEAN, "test/20000": SPOT}.items():
        write(root / f"{name}.png")
        write(root / f"{name}_GT.png", mask * 255)
    write(root / "train/10001 (copy).png")
    write(root / "train/10001_GT (copy).png", CLEAN)


def write_kolektor(root):
    for name, mask in {"kos01/Part0": CLEAN, "kos01/Part1": SPOT, "kos02/Part0": CLEAN}.items():
        write(root / f"{name}.jpg")
        write(root / f"{name}_label.bmp", mask * 255)


def write_mvtec(root):
    for name in ("train/good/000", "test/good/000", "test/crack/000", "test/hole/000"):
        write(root / f"{name}.png")
    for defect in ("crack", "hole"):
        write(root / f"ground_truth/{defect}/000_mask.png", SPOT * 255)


def write_visa(root):
    write(root / "Data/Images/Normal/0000.JPG")
    rows = [("image", "label", "mask"), ("candle/Data/Images/Normal/0000.JPG", "normal", "")]
    for number, label in (("000", "melded,wax on top"), ("001", "chunk of wax missing")):
        write(root / f"Data/Images/Anomaly/{number}.JPG")
        write(root / f"Data/Masks/Anomaly/{number}.png", SPOT * 7)
        files = (
            f"candle/Data/Images/Anomaly/{number}.JPG",
            f"candle/Data/Masks/Anomaly/{number}.png",
        )
        rows.append((files[0], label, files[1]))
    write_table(root / "image_anno.csv", *rows)


def write_dagm_class(root):
    for part, number in (("Train", "0576"), ("Test", "0001")):
        write(root / part / f"{number}.PNG")
        write(root / part / "0700.PNG")
        write(root / part / "Label" / f"{number}_label.PNG", SPOT * 255)
        (root / part / "Label" / "Labels.txt").write_text("1\n")


def write_dagm(root):
    write_dagm_class(root / "Class2")
    write_dagm_class(root / "Class10")


# SPOT down the columns of 6 pixels, from 1: rows 1 and 2 of the columns 2, 3 and 4
SPOT_RUNS = "14 2 20 2 26 2"
CORNER_RUNS = "1 1 48 1"


def write_severstal(root):
    for name in "abcd":
        write(root / f"train_images/{name}.jpg")
    write(root / "test_images/t.jpg")
    rows = (("a.jpg", 3, SPOT_RUNS), ("b.jpg", 1, CORNER_RUNS), ("b.jpg", 3, SPOT_RUNS))
    write_table(root / "train.csv", ("ImageId", "ClassId", "EncodedPixels"), *rows)


def write_severstal_joint(root):
    write_severstal(root)
    runs = {"a.jpg_3": SPOT_RUNS, "b.jpg_1": CORNER_RUNS, "b.jpg_3": SPOT_RUNS}
    names = [f"{image}.jpg_{index}" for image in "abcd" for index in (1, 2, 3, 4)]
    rows = ((name, runs.get(name, "")) for name in names)
    write_table(root / "train.csv", ("ImageId_ClassId", "EncodedPixels"), *rows)


TREES = {
    "split.csv": ("split.csv", write_split_csv),
    "folders": ("folders", write_folders),
    "kolektor2": ("kolektor2", write_kolektor2),
    "kolektor": ("kolektor", write_kolektor),
    "mvtec": ("mvtec", write_mvtec),
    "visa": ("visa", write_visa),
    "dagm": ("dagm", write_dagm),
    "dagm, one class": ("dagm", write_dagm_class),
    "severstal": ("severstal", write_severstal),
    "severstal, joint": ("severstal", write_severstal_joint),
}

# name: kind, split, group if not its own, class index of SPOT
KOLEKTOR2 = {
    "train/10000.png": ("defect", "train", None, 1),
    "train/10001.png": ("good", "train", None, 0),
    "test/20000.png": ("defect", "test", None, 1),
}
KOLEKTOR = {
    "kos01/Part0.jpg": ("good", "", "kos01", 0),
    "kos01/Part1.jpg": ("defect", "", "kos01", 1),
    "kos02/Part0.jpg": ("good", "", "kos02", 0),
}
MVTEC = {
    "train/good/000.png": ("good", "", None, 0),
    "test/good/000.png": ("good", "", None, 0),
    "test/crack/000.png": ("crack", "", None, 1),
    "test/hole/000.png": ("hole", "", None, 2),
}
VISA = {
    "Data/Images/Normal/0000.JPG": ("good", "", None, 0),
    "Data/Images/Anomaly/000.JPG": ("melded", "", None, 2),
    "Data/Images/Anomaly/001.JPG": ("chunk of wax missing", "", None, 1),
}
DAGM = {
    f"{name}/{part}/{number}.PNG": (kind, part.lower(), None, index * (kind != "good"))
    for index, name in ((1, "Class2"), (2, "Class10"))
    for part, number, kind in (
        ("Train", "0576", name),
        ("Train", "0700", "good"),
        ("Test", "0001", name),
        ("Test", "0700", "good"),
    )
}
EXPECTED = {
    "kolektor2": (("defect",), KOLEKTOR2),
    "kolektor": (("defect",), KOLEKTOR),
    "mvtec": (("crack", "hole"), MVTEC),
    "visa": (("chunk of wax missing", "melded"), VISA),
    "dagm": (("Class2", "Class10"), DAGM),
}


@pytest.fixture
def tree(tmp_path):
    """Writes the tree of a name in `TREES`; gives its folder, called Class2 for DAGM's sake."""

    def write_tree(name):
        root = tmp_path / "Class2"
        TREES[name][1](root)
        return root

    return write_tree


def read(root):
    return FORMATS[format_of(root)].read(root)


def drawn(sample):
    return CLEAN if sample.drawing is None else sample.drawing.draw((HEIGHT, WIDTH))


@pytest.mark.parametrize("name", TREES)
def test_a_layout_is_told_from_all_the_others(tree, name):
    root = tree(name)
    found = [layout for layout, reader in FORMATS.items() if reader.detects(root)]
    assert found[0] == format_of(root) == TREES[name][0]
    assert set(found) <= {TREES[name][0], "folders"}


def test_a_folder_with_no_layout_is_refused_with_those_there_are(tmp_path):
    write(tmp_path / "a.png")
    for root, message in (
        (tmp_path, "no dataset; put images into .* another of the layouts .*mvtec"),
        (tmp_path / "nowhere", "nowhere: no such folder"),
        (tmp_path / "a.png", "a.png: is a file; name its folder"),
    ):
        with pytest.raises(DataError, match=message):
            format_of(root)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_layout_says_kind_split_group_and_pixels(tree, name):
    listing = read(tree(name))
    names, expected = EXPECTED[name]
    assert listing.class_names == names
    assert {sample.name for sample in listing.samples} == set(expected)
    for sample in listing.samples:
        kind, split, group, index = expected[sample.name]
        assert (sample.kind, sample.split) == (kind, split)
        assert sample.group == (group or sample.name)
        assert sample.defective == (kind != "good")
        np.testing.assert_array_equal(drawn(sample), SPOT * index)


@pytest.mark.parametrize("name", [*EXPECTED, "severstal"])
def test_every_file_that_a_layout_names_is_there(tree, name):
    for sample in read(tree(name)).samples:
        assert sample.image.is_file()
        assert sample.drawing is None or sample.drawing.file().is_file()


def test_one_class_of_dagm_is_read_as_in_the_set(tree):
    listing = read(tree("dagm, one class"))
    assert listing.class_names == ("Class2",)
    assert [sample.name for sample in listing.samples if sample.defective] == [
        "Train/0576.PNG",
        "Test/0001.PNG",
    ]
    np.testing.assert_array_equal(drawn(listing.samples[0]), SPOT)


def test_masks_of_mvtec_may_have_the_names_of_their_images(tree):
    root = tree("mvtec")
    (root / "test/.ipynb_checkpoints").mkdir()
    before = [(s.name, s.kind, s.defective) for s in read(root).samples]
    for mask in root.glob("ground_truth/*/*_mask.png"):
        mask.rename(mask.with_name("000.png"))
    assert [(s.name, s.kind, s.defective) for s in read(root).samples] == before
    assert all(s.drawing.file().name == "000.png" for s in read(root).samples if s.defective)


@pytest.mark.parametrize("name", ["severstal", "severstal, joint"])
def test_both_tables_of_severstal_say_the_same(tree, name):
    listing = read(tree(name))
    assert listing.class_names == ("class 1", "class 2", "class 3")
    said = [(sample.name, sample.kind, sample.split) for sample in listing.samples]
    assert said == [
        ("train_images/a.jpg", "class 3", ""),
        ("train_images/b.jpg", "class 3", ""),
        ("train_images/c.jpg", "good", ""),
        ("train_images/d.jpg", "good", ""),
    ]
    both = SPOT * 3
    both[0, 0] = both[-1, -1] = 1
    np.testing.assert_array_equal(drawn(listing.samples[0]), SPOT * 3)
    np.testing.assert_array_equal(drawn(listing.samples[1]), both)


def test_the_later_line_of_severstal_lies_on_top(tree):
    root = tree("severstal")
    rows = [("a.jpg", 2, SPOT_RUNS), ("a.jpg", 1, "14 1")]
    write_table(root / "train.csv", ("ImageId", "ClassId", "EncodedPixels"), *rows)
    expected = SPOT * 2
    expected[1, 2] = 1
    np.testing.assert_array_equal(drawn(read(root).samples[0]), expected)


def test_the_digest_of_run_lengths_changes_with_them(tree):
    root = tree("severstal")
    before = [sample.drawing.digest() for sample in read(root).samples[:2]]
    table = root / "train.csv"
    table.write_text(table.read_text().replace("1 1 48 1", "1 1 47 2"))
    after = [sample.drawing.digest() for sample in read(root).samples[:2]]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("kolektor2", "train/10009_GT.png"),
        ("kolektor", "kos01/Part9_label.bmp"),
        ("mvtec", "ground_truth/crack/009_mask.png"),
        ("dagm", "Class2/Train/Label/0009_label.PNG"),
    ],
)
def test_a_mask_without_an_image_is_refused(tree, name, mask):
    root = tree(name)
    write(root / mask, SPOT * 255)
    with pytest.raises(DataError, match=f"{mask}: no image has this mask's name"):
        read(root)


@pytest.mark.parametrize(
    ("name", "mask"),
    [("kolektor2", "train/10000_GT.png"), ("kolektor", "kos01/Part1_label.bmp")],
)
def test_an_image_without_its_mask_is_refused(tree, name, mask):
    root = tree(name)
    (root / mask).unlink()
    with pytest.raises(DataError, match=f"{mask}: is not a readable image"):
        read(root)


def test_labels_of_dagm_in_another_folder_are_refused(tree):
    root = tree("dagm")
    write(root / "Class2/Test/Labels/0700_label.PNG", SPOT * 255)
    with pytest.raises(
        DataError, match=r"0700_label.PNG: lies below .*Test, expected images in it"
    ):
        read(root)


@pytest.mark.parametrize(
    ("name", "parts", "what"),
    [("mvtec", ("bottle", "cable"), "categories"), ("visa", ("candle", "pcb1"), "objects")],
)
def test_the_folder_of_all_sets_is_refused_with_their_names(tmp_path, name, parts, what):
    for part in parts:
        TREES[name][1](tmp_path / part)
    assert format_of(tmp_path) == name
    mend = f"{what} {', '.join(parts)}, expected one; choose it, as in --data {tmp_path}/{parts[0]}"
    with pytest.raises(DataError, match=mend):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "table", "old", "new", "message"),
    [
        ("visa", "image_anno.csv", "label", "name", r"columns \['label'\] are missing"),
        ("visa", "image_anno.csv", "normal", "", "csv:2: label is empty, expected 'normal'"),
        (
            "visa",
            "image_anno.csv",
            "candle/Data/Masks/Anomaly/001.png",
            "",
            "csv:4: mask is empty, label is 'chunk of wax missing'; name the mask",
        ),
        (
            "visa",
            "image_anno.csv",
            "chunk of wax missing",
            "normal",
            "csv:4: mask is 'candle/Data/Masks/Anomaly/001.png', label 'normal'; mend one",
        ),
        ("severstal", "train.csv", "EncodedPixels", "Pixels", r"columns \['EncodedPixels'\] are"),
        ("severstal", "train.csv", "ClassId", "Class", r"has the columns \['ImageId', 'Class'"),
        ("severstal", "train.csv", ",1,", ",0,", "csv:3: ClassId is '0', expected 1 to 32"),
        ("severstal", "train.csv", "1 1 48 1", "1 1 48", "csv:3: EncodedPixels is '1 1 48'"),
        ("severstal", "train.csv", "1 1 48 1", "0 1 48 1", "csv:3: EncodedPixels is '0 1 48 1'"),
    ],
)
def test_a_wrong_table_is_refused_by_line(tree, name, table, old, new, message):
    root = tree(name)
    text = (root / table).read_text()
    (root / table).write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read(root)


def test_a_run_beyond_the_image_is_refused_by_line(tree):
    root = tree("severstal")
    table = root / "train.csv"
    table.write_text(table.read_text().replace("1 1 48 1", "1 1 48 2"))
    sample = read(root).samples[1]
    with pytest.raises(DataError, match=r"train.csv:3: run 48 2 ends beyond .* 8x6 pixels"):
        drawn(sample)


@pytest.mark.parametrize("name", ["severstal", "severstal, joint"])
def test_a_listed_image_that_is_not_there_stays_listed(tree, name):
    root = tree(name)
    (root / "train_images/b.jpg").unlink()
    assert "train_images/b.jpg" in {sample.name for sample in read(root).samples}
