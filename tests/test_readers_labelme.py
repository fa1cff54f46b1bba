"""labelme's files beside the images: every shape is drawn to the pixel, the rest is good."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.errors import DataError
from train.readers import format_of, labelme

HEIGHT, WIDTH = 12, 16
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
BOX = {"shape_type": "rectangle", "points": [[2.9, 3.2], [5.0, 6.7]]}
BOX_PIXELS = (COLUMNS >= 2) & (COLUMNS <= 5) & (ROWS >= 3) & (ROWS <= 6)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(path)


def write_json(path, *shapes, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{"label": "pit", "group_id": None, "flags": {}, **shape} for shape in shapes],
        "imagePath": f"{path.stem}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    path.write_text(json.dumps(said | fields))


def read_one(root, *shapes, **fields):
    write_image(root / "a.png")
    write_json(root / "a.json", *shapes, **fields)
    return labelme.read(root).samples[0]


def drawn(sample):
    return sample.drawing.draw((HEIGHT, WIDTH))


PATCH = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
PASTED = np.zeros((HEIGHT, WIDTH), bool)
PASTED[4:6, 7:10] = PATCH
DIAGONAL = (COLUMNS == ROWS) & (COLUMNS >= 2) & (COLUMNS <= 6)
SHAPES = {
    "rectangle": (BOX, BOX_PIXELS),
    "rectangle from the other corner": (
        {"shape_type": "rectangle", "points": [[5.0, 3.2], [2.9, 6.7]]},
        BOX_PIXELS,
    ),
    "rectangle over the edge": (
        {"shape_type": "rectangle", "points": [[-4, -2], [1, 40]]},
        COLUMNS <= 1,
    ),
    "polygon": (
        {"shape_type": "polygon", "points": [[2.5, 2.5], [10.5, 2.1], [2.9, 10.9]]},
        (COLUMNS >= 2) & (ROWS >= 2) & (COLUMNS + ROWS <= 12),
    ),
    "polygon of no type": (
        {"points": [[1, 1], [14, 1], [14, 9], [11, 9], [11, 4], [1, 4]]},
        (COLUMNS >= 1)
        & (COLUMNS <= 14)
        & (ROWS >= 1)
        & (ROWS <= 9)
        & ((COLUMNS >= 11) | (ROWS <= 4)),
    ),
    "circle": (
        {"shape_type": "circle", "points": [[7.5, 6.5], [10.5, 6.5]]},
        (COLUMNS - 7) ** 2 + (ROWS - 6) ** 2 <= 9,
    ),
    "line": ({"shape_type": "line", "points": [[2, 2], [6, 6]]}, DIAGONAL),
    "linestrip": (
        {"shape_type": "linestrip", "points": [[2, 2], [6, 6], [12, 6]]},
        DIAGONAL | ((ROWS == 6) & (COLUMNS >= 6) & (COLUMNS <= 12)),
    ),
    "mask": (
        {"shape_type": "mask", "points": [[7, 4], [9, 5]], "mask": png(PATCH)},
        PASTED,
    ),
    "mask of one bit": (
        {"shape_type": "mask", "points": [[7, 4], [9, 5]], "mask": png(PATCH.astype(bool))},
        PASTED,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_drawn_to_the_pixel(tmp_path, name):
    shape, pixels = SHAPES[name]
    np.testing.assert_array_equal(drawn(read_one(tmp_path, shape)), pixels)


def test_the_later_shape_lies_on_top_and_the_larger_class_is_the_kind(tmp_path):
    dot = {"shape_type": "circle", "points": [[3, 4], [3, 4]], "label": "dent"}
    sample = read_one(tmp_path, BOX, dot)
    expected = BOX_PIXELS * 2
    expected[4, 3] = 1
    np.testing.assert_array_equal(drawn(sample), expected)
    assert labelme.read(tmp_path).class_names == ("dent", "pit")
    assert sample.kind == "pit"


def test_images_without_shapes_are_good_and_folders_give_the_split(tmp_path):
    for name in ("train/a", "train/b", "valid/c", "test/deep/d"):
        write_image(tmp_path / f"{name}.png")
    write_json(tmp_path / "train/a.json", BOX)
    write_json(tmp_path / "train/b.json")
    (tmp_path / "settings.json").write_text("{}")
    assert format_of(tmp_path) == "labelme"
    listing = labelme.read(tmp_path)
    assert listing.class_names == ("pit",)
    said = [(s.name, s.kind, s.defective, s.split, s.group == s.name) for s in listing.samples]
    assert said == [
        ("test/deep/d.png", "good", False, "test", True),
        ("train/a.png", "pit", True, "train", True),
        ("train/b.png", "good", False, "train", True),
        ("valid/c.png", "good", False, "val", True),
    ]
    assert listing.samples[1].drawing.file() == tmp_path / "train/a.json"


def test_without_folders_of_splits_none_is_given(tmp_path):
    assert read_one(tmp_path, BOX).split == ""


def test_an_image_in_another_folder_is_found_by_a_windows_path(tmp_path):
    write_image(tmp_path / "img/a.png")
    write_json(tmp_path / "ann/x.json", BOX, imagePath="..\\img\\a.png")
    (sample,) = labelme.read(tmp_path).samples
    assert (sample.name, sample.image.is_file()) == ("img/a.png", True)


def test_a_file_whose_image_is_gone_stays_listed(tmp_path):
    write_json(tmp_path / "a.json", BOX)
    (sample,) = labelme.read(tmp_path).samples
    assert (sample.name, sample.defective, sample.image.is_file()) == ("a.png", True, False)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "point", "points": [[2, 2]]}, "is a point, expected one of .*'polygon'"),
        ({"points": [[2, 2], [3, 3]]}, "is a polygon with 2 points, expected 3 or more; draw"),
        ({"shape_type": "circle", "points": [[2, 2]]}, "is a circle with 1 points, expected 2"),
        ({"points": [[2, 2, 2]]}, r"Expected `array` of length 2 - at `\$.shapes\[0\].points\[0\]"),
        ({"shape_type": "mask", "points": [[7, 4], [9, 5]]}, "has a mask that is no PNG in"),
        ({"shape_type": "mask", "points": [[7, 4], [9, 5]], "mask": "?"}, "that is no PNG in"),
        ({"shape_type": "mask", "points": [[7, 4], [9, 5]], "mask": "YWJj"}, "that is no PNG in"),
        (
            {"shape_type": "mask", "points": [[7, 4], [9, 6]], "mask": png(PATCH)},
            "has a mask of 3x2 at x 7 to 9, y 4 to 6 of 16x12; draw it anew",
        ),
        (
            {"shape_type": "mask", "points": [[14, 4], [16, 5]], "mask": png(PATCH)},
            "has a mask of 3x2 at x 14 to 16, y 4 to 5 of 16x12",
        ),
        (
            {"points": [[16, 2], [20, 2], [20, 5]]},
            "lies at x 16 to 20, y 2 to 5 of 16x12; draw it anew, or take it out",
        ),
        (
            {"shape_type": "circle", "points": [[-3, 5], [-3, 7]]},
            "lies at x -5 to -1, y 3 to 7 of 16x12",
        ),
        ({"points": [[1, 2], [5, 2], [5, 1e30]]}, r"lies at x 1 to 5, y 2 to 1e\+30 of 16x12"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_refused(tmp_path, shape, message):
    with pytest.raises(DataError, match=f"a.json: .*{message}"):
        read_one(tmp_path, shape)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"imageHeight": None}, r"Expected `int`, got `null` - at `\$.imageHeight`"),
        ({"shapes": {}}, r"Expected `array`, got `object` - at `\$.shapes`"),
    ],
)
def test_a_wrong_field_is_refused_by_name(tmp_path, fields, message):
    with pytest.raises(DataError, match=f"a.json: {message}; export it anew"):
        read_one(tmp_path, BOX, **fields)


def test_two_files_for_one_image_are_refused(tmp_path):
    read_one(tmp_path, BOX)
    write_json(tmp_path / "b.json", BOX, imagePath="a.png")
    with pytest.raises(DataError, match=r"b.json: labels the same image as a.json"):
        labelme.read(tmp_path)


def test_masks_that_were_exported_are_no_samples(tmp_path):
    for name in ("images/a", "images/b", "masks/a", "day 2/Masks/b"):
        write_image(tmp_path / f"{name}.png")
    write_json(tmp_path / "images/a.json", BOX)
    said = [(s.name, s.defective) for s in labelme.read(tmp_path).samples]
    assert said == [("images/a.png", True), ("images/b.png", False)]


@pytest.mark.parametrize("image", ["images/b.png", "b.png"])
def test_a_mask_that_shows_a_defect_without_a_file_is_refused(tmp_path, image):
    for name in ("images/a.png", image, "masks/a.png", "masks/b.png"):
        write_image(tmp_path / name)
    write_json(tmp_path / "images/a.json", BOX)
    message = rf"{image}: has no labelme file, but masks/b\.png seems to show its defect; label"
    with pytest.raises(DataError, match=message):
        labelme.read(tmp_path)


def test_a_mask_of_a_labelled_image_is_not_of_another_of_its_name(tmp_path):
    for name in ("good/a.png", "bad/a.png", "masks/a.png"):
        write_image(tmp_path / name)
    write_json(tmp_path / "bad/a.json", BOX)
    assert [sample.kind for sample in labelme.read(tmp_path).samples] == ["pit", "good"]


def test_a_file_of_something_else_beside_an_image_is_nothing(tmp_path):
    read_one(tmp_path, BOX)
    write_image(tmp_path / "b.png")
    (tmp_path / "b.json").write_text('{"exposure": 3}')
    assert [sample.kind for sample in labelme.read(tmp_path).samples] == ["pit", "good"]


@pytest.mark.parametrize("content", [b"", b'{"sh', '{"shapes": [], "imagePath"'.encode("utf-16")])
def test_a_damaged_file_beside_an_image_is_refused(tmp_path, content):
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png")
        write_json(tmp_path / f"{name}.json", BOX)
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(DataError, match=r"b.json: is no labelme file, so b.png would count as goo"):
        labelme.read(tmp_path)


def test_an_image_that_is_flagged_as_bad_is_not_good(tmp_path):
    assert read_one(tmp_path, flags={"NG": False, "checked": True}).kind == "good"
    assert read_one(tmp_path, BOX, flags={"NG": True}).kind == "pit"
    with pytest.raises(DataError, match=r"a\.json: has the flag 'NG' and no shape, so it would c"):
        read_one(tmp_path, flags={"NG": True})


@pytest.mark.parametrize("folder", ["SegmentationClassPNG", "b_json"])
def test_what_labelmes_own_programs_made_is_no_sample(tmp_path, folder):
    write_image(tmp_path / folder / "label.png")
    read_one(tmp_path, BOX)
    assert [sample.name for sample in labelme.read(tmp_path).samples] == ["a.png"]


def test_images_beside_their_files_in_a_folder_of_annotations_are_samples(tmp_path, monkeypatch):
    for name in ("a", "b"):
        write_image(tmp_path / f"annotations/{name}.png")
    image = str(tmp_path / "annotations/a.png")
    write_json(tmp_path / "annotations/a.json", BOX, imagePath=image)
    monkeypatch.chdir(tmp_path.parent)
    said = [(s.name, s.defective) for s in labelme.read(Path(tmp_path.name)).samples]
    assert said == [("annotations/a.png", True), ("annotations/b.png", False)]


def test_a_file_that_leads_away_from_its_image_is_refused(tmp_path):
    for name in ("raw/a", "labelled/a"):
        write_image(tmp_path / f"{name}.png")
    write_json(tmp_path / "labelled/a.json", BOX, imagePath="..\\raw\\a.png")
    message = r"a\.json: imagePath leads to .*raw/a\.png, while a\.png lies beside it; mend"
    with pytest.raises(DataError, match=message):
        labelme.read(tmp_path)


def test_folders_of_splits_may_be_written_with_capitals(tmp_path):
    for name in ("Train/a", "Test/b"):
        write_image(tmp_path / f"{name}.png")
    write_json(tmp_path / "Train/a.json", BOX)
    assert [s.split for s in labelme.read(tmp_path).samples] == ["test", "train"]


def test_an_image_of_another_size_than_recorded_is_refused(tmp_path):
    sample = read_one(tmp_path, BOX)
    with pytest.raises(DataError, match=r"a.json: image was labelled at 16x12, its image is 4x3"):
        sample.drawing.draw((3, 4))


def test_the_digest_changes_with_the_shapes(tmp_path):
    one, same, other = (
        read_one(tmp_path, shape).drawing.digest()
        for shape in (BOX, BOX, BOX | {"points": [[2, 3], [5, 7]]})
    )
    assert one == same != other


@pytest.mark.parametrize("folder", ["NG", "train/bad"])
def test_an_image_without_a_file_in_a_folder_of_bad_ones_is_refused(tmp_path, folder):
    for name in ("a", "b"):
        write_image(tmp_path / folder / f"{name}.png")
    write_json(tmp_path / folder / "a.json", BOX)
    write_json(tmp_path / folder / "b.json")
    assert [s.kind for s in labelme.read(tmp_path).samples] == ["pit", "good"]
    (tmp_path / folder / "b.json").unlink()
    message = r"b\.png: has no mask, .* good, in a folder '.*'; draw .* a file without shapes if it"
    with pytest.raises(DataError, match=message):
        labelme.read(tmp_path)


def test_a_file_may_be_named_in_capitals(tmp_path):
    write_image(tmp_path / "a.png")
    write_json(tmp_path / "a.JSON", BOX)
    assert format_of(tmp_path) == "labelme"
    assert [s.kind for s in labelme.read(tmp_path).samples] == ["pit"]


def test_an_image_beside_a_labelled_one_of_its_name_is_refused(tmp_path):
    read_one(tmp_path, BOX)
    write_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg: is not labelled, a\.png beside it is; take one"):
        labelme.read(tmp_path)


def test_spaces_around_a_label_are_no_part_of_it(tmp_path):
    sample = read_one(tmp_path, BOX, BOX | {"label": " pit "})
    assert labelme.read(tmp_path).class_names == ("pit",)
    np.testing.assert_array_equal(drawn(sample), BOX_PIXELS)


def test_what_is_to_be_ignored_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.json: shape '__ignore__' does not say what is there"):
        read_one(tmp_path, BOX, BOX | {"label": "__ignore__"})
