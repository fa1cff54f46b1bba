"""COCO files as the tools write them: polygons and run lengths, found, split and drawn."""

import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco_mask

from runtime.errors import DataError
from train.readers import coco, format_of
from train.readers.segments import EncodedRuns, Segments, runs_of

HEIGHT, WIDTH = 7, 9
SCRATCH, PIT = 1, 2
CATEGORIES = [
    {"id": 0, "name": "defects", "supercategory": "none"},
    {"id": 2, "name": "pit", "supercategory": "defects"},
    {"id": 1, "name": "scratch", "supercategory": "defects"},
]
# x 1 to 5, y 2 to 4: the pixels between these lines
BOX = [[1, 2, 5, 2, 5, 4, 1, 4]]
BOX_PIXELS = np.s_[2:4, 1:5]
RING = np.zeros((HEIGHT, WIDTH), np.uint8)
RING[1:6, 3:8] = 1
RING[3, 5] = 0


def lengths_in(pixels):
    """Lengths of runs down the columns, by numpy."""
    flat = np.concatenate([[0], pixels.ravel(order="F"), [0]])
    edges = np.flatnonzero(np.diff(flat))
    ends = np.concatenate([[0], edges, [pixels.size]])
    return np.diff(ends).tolist()


def as_text(pixels):
    encoded = coco_mask.encode(np.asfortranarray(pixels))
    return {"size": list(pixels.shape), "counts": encoded["counts"].decode()}


def write_images(folder, *names, size=(HEIGHT, WIDTH)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full(size, 90, np.uint8)).save(folder / name)


def annotation(image, category, segmentation, number=7):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [1, 2, 4, 2],
        "area": 8,
        "iscrowd": int(isinstance(segmentation, dict)),
        "segmentation": segmentation,
    }


def write_json(path, names, *annotations, categories=CATEGORIES):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, "license": 1}
        for number, name in enumerate(names)
    ]
    said = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(said))


def write_trees(root, splits, file, image):
    """A file and an image for each of the splits, by how the tool names it in those two paths."""
    for name in splits:
        path = root / image.format(name)
        write_images(path.parent, path.name)
        write_json(root / file.format(name), [path.name], annotation(0, 1, BOX))
    return {image.format(name): split for name, split in splits.items()}


def write_roboflow(root):
    splits = {"train": "train", "valid": "val", "test": "test"}
    return write_trees(root, splits, "{}/_annotations.coco.json", "{}/a.jpg")


def write_coco_2017(root):
    splits = {"train2017": "train", "val2017": "val"}
    return write_trees(root, splits, "annotations/instances_{}.json", "{}/a.jpg")


def write_below_images(root):
    splits = {"train": "train", "val": "val"}
    return write_trees(root, splits, "annotations/{}.json", "images/{}2017/a.jpg")


def write_subsets(root):
    """As CVAT does."""
    splits = {"Train": "train", "Validation": "val"}
    return write_trees(root, splits, "annotations/instances_{}.json", "images/{}/a.jpg")


def write_one_subset(root):
    splits = {"default": ""}
    return write_trees(root, splits, "annotations/instances_{}.json", "images/{}/a.jpg")


def write_export(root):
    write_images(root / "images/line3", "a.jpg")
    names = ["line3/a.jpg"]
    write_json(root / "annotations/instances_default.json", names, annotation(0, 1, BOX))
    return {"images/line3/a.jpg": ""}


def write_on_windows(root):
    write_images(root / "images", "a.jpg")
    write_json(root / "result.json", ["images\\a.jpg"], annotation(0, 1, BOX))
    return {"images/a.jpg": ""}


def write_flat(root):
    write_images(root, "a.jpg", "unlisted.jpg")
    write_json(root / "labels.json", ["./a.jpg"], annotation(0, 1, BOX))
    return {"a.jpg": ""}


def read_one(root, *segmentations, categories=CATEGORIES):
    """The sample of one image with these (category, segmentation)."""
    write_images(root, "a.png")
    annotations = [annotation(0, *pair, number) for number, pair in enumerate(segmentations)]
    write_json(root / "coco.json", ["a.png"], *annotations, categories=categories)
    return coco.read(root).samples[0]


def drawn(sample):
    return sample.drawing.draw((HEIGHT, WIDTH))


@pytest.mark.parametrize(
    "write_tree",
    [
        write_roboflow,
        write_coco_2017,
        write_below_images,
        write_export,
        write_subsets,
        write_one_subset,
        write_on_windows,
        write_flat,
    ],
)
def test_images_and_splits_are_found_where_the_tools_put_them(tmp_path, write_tree):
    expected = write_tree(tmp_path)
    assert format_of(tmp_path) == "coco"
    listing = coco.read(tmp_path)
    assert {sample.name: sample.split for sample in listing.samples} == expected
    assert listing.class_names == ("scratch", "pit")
    for sample in listing.samples:
        assert (sample.kind, sample.group) == ("scratch", sample.name)
        assert sample.image.is_file()
        assert sample.drawing.file().suffix == ".json"


def test_an_image_without_annotations_is_good(tmp_path):
    write_images(tmp_path, "a.png", "b.png")
    write_json(tmp_path / "coco.json", ["a.png", "b.png"], annotation(1, 2, BOX))
    a, b = coco.read(tmp_path).samples
    assert (a.kind, a.defective, a.drawing) == ("good", False, None)
    assert (b.kind, b.defective) == ("pit", True)


@pytest.mark.parametrize(
    "segmentation",
    [{"size": [HEIGHT, WIDTH], "counts": lengths_in(RING)}, as_text(RING)],
    ids=["runs", "compressed"],
)
def test_run_lengths_are_drawn_down_the_columns(tmp_path, segmentation):
    sample = read_one(tmp_path, (1, segmentation))
    np.testing.assert_array_equal(drawn(sample), RING * SCRATCH)


def test_the_polygons_of_one_annotation_are_drawn_together(tmp_path):
    sample = read_one(tmp_path, (2, [*BOX, [6, 5, 9, 5, 9, 7, 6, 7]]))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[BOX_PIXELS] = expected[5:7, 6:9] = PIT
    np.testing.assert_array_equal(drawn(sample), expected)


def test_the_later_annotation_lies_on_top_and_the_larger_class_is_the_kind(tmp_path):
    sample = read_one(tmp_path, (1, as_text(RING)), (2, BOX))
    expected = RING * SCRATCH
    expected[BOX_PIXELS] = PIT
    np.testing.assert_array_equal(drawn(sample), expected)
    assert sample.kind == "scratch"


@given(arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 70)] * 2), elements=st.integers(0, 1)))
def test_any_mask_survives_both_encodings(pixels):
    assume(pixels.any())
    size = pixels.shape
    for counts in (lengths_in(pixels), as_text(pixels)["counts"]):
        runs = runs_of(EncodedRuns(size, counts), size, "here")
        drawing = Segments(None, "", size, ((3, runs),))
        np.testing.assert_array_equal(drawing.draw(size), pixels * 3)
        assert drawing.areas() == [(3, pixels.sum())]


def test_a_category_that_is_used_is_a_class_though_others_are_below_it(tmp_path):
    write_images(tmp_path, "a.png")
    write_json(tmp_path / "coco.json", ["a.png"], annotation(0, 0, BOX))
    listing = coco.read(tmp_path)
    assert listing.class_names == ("defects", "scratch", "pit")
    assert listing.samples[0].kind == "defects"


def test_a_category_of_good_parts_that_none_has_is_no_class(tmp_path):
    categories = [*CATEGORIES, {"id": 9, "name": "OK"}]
    read_one(tmp_path, (1, BOX), categories=categories)
    assert coco.read(tmp_path).class_names == ("scratch", "pit")


def test_a_polygon_may_lie_far_along_a_wide_image():
    runs = runs_of([[33000, 2, 33004, 2, 33004, 4, 33000, 4]], (8, 40000), "here")
    assert Segments(None, "", (8, 40000), ((1, runs),)).areas() == [(1, 8)]


def test_a_category_above_itself_alone_is_a_class(tmp_path):
    write_images(tmp_path, "a.png")
    categories = [{"id": 3, "name": "pit", "supercategory": "pit"}, {"id": 5, "name": "dent"}]
    write_json(tmp_path / "coco.json", ["a.png"], annotation(0, 5, BOX), categories=categories)
    assert coco.read(tmp_path).class_names == ("pit", "dent")


def test_files_agree_on_categories_by_name_whatever_their_ids(tmp_path):
    swapped = [{"id": 1, "name": "pit"}, {"id": 2, "name": "scratch"}]
    plain = [{"id": 1, "name": "scratch"}, {"id": 2, "name": "pit"}]
    for split, categories in (("train", plain), ("val", swapped)):
        write_images(tmp_path / split, "a.png")
        path = tmp_path / split / "coco.json"
        write_json(path, ["a.png"], annotation(0, 1, BOX), categories=categories)
    listing = coco.read(tmp_path)
    assert listing.class_names == ("scratch", "pit")
    assert [sample.kind for sample in listing.samples] == ["scratch", "pit"]
    assert [drawn(sample).max() for sample in listing.samples] == [SCRATCH, PIT]


def test_files_with_other_categories_are_refused(tmp_path):
    write_roboflow(tmp_path)
    path = tmp_path / "valid/_annotations.coco.json"
    write_json(path, ["a.jpg"], categories=[{"id": 1, "name": "scratch"}])
    message = r"valid/.*: categories are \['scratch'\], those of .* are \['scratch', 'pit'\]"
    with pytest.raises(DataError, match=message):
        coco.read(tmp_path)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 5, 4]], "polygon has 4 numbers, expected x and y of three corners"),
        ([[1, 2, 5, 4, 3, 3, 1]], "polygon has 7 numbers"),
        ([[1, 2, 5, 4, 3, 1e30]], r"annotation 1 of 'a.png': polygon reaches to 1e\+30; draw it"),
        (
            [[10, 2, 12, 2, 12, 5]],
            "annotation 1 of 'a.png' draws no pixel of the image, which is 9x7",
        ),
        ({"size": [7, 9], "counts": [63]}, "draws no pixel of the image, which is 9x7; draw it"),
        ([1, 2, 5, 4, 3, 3], r"Expected `array`, got `int` - at `\$.annotations\[1\].segm"),
        ({"size": [7, 9], "counts": [3, 5]}, "runs fill 8 pixels of 9x7, the image is .* 9x7"),
        ({"size": [7, 9], "counts": [3, -5, 65]}, "runs fill 63 pixels of 9x7"),
        ({"size": [9, 7], "counts": [3, 60]}, "runs fill 63 pixels of 7x9, the image is .* 9x7"),
        ({"size": [7, 9], "counts": as_text(RING)["counts"][:-2]}, "runs fill .* export the seg"),
        ({"size": [7, 9], "counts": ""}, "runs fill 0 pixels"),
        ({"counts": [3, 60]}, "missing required field `size`"),
    ],
)
def test_a_segmentation_that_draws_nothing_certain_is_refused(tmp_path, segmentation, message):
    with pytest.raises(DataError, match=message):
        read_one(tmp_path, (2, BOX), (1, segmentation))


@pytest.mark.parametrize("segmentation", [[], None])
def test_an_image_with_a_mere_box_is_defective_and_nobody_knows_where(tmp_path, segmentation):
    sample = read_one(tmp_path, (2, BOX), (1, segmentation))
    assert sample.defective
    assert sample.drawing is None
    assert sample.kind == "pit"


def test_an_annotation_without_segmentation_and_box_is_refused(tmp_path):
    write_images(tmp_path, "a.png")
    write_json(tmp_path / "coco.json", ["a.png"], {"id": 3, "image_id": 0, "category_id": 1})
    with pytest.raises(DataError, match=r"annotation 3 of 'a.png' has no segmentation and no box"):
        coco.read(tmp_path)


@pytest.mark.parametrize(("x", "column"), [(1.5, 1), (WIDTH, WIDTH - 1)])
def test_a_polygon_along_a_thin_defect_is_a_line_of_one_pixel(tmp_path, x, column):
    sample = read_one(tmp_path, (1, [[x, 2, x, 5.5, x, 3]]))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:6, column] = SCRATCH
    np.testing.assert_array_equal(drawn(sample), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"category_id": 9}, r"annotation 7 of 'a.png' has category 9, expected one of \[1, 2\]"),
        ({"image_id": 9}, "annotation 7 is of image 9, which is not listed"),
        ({"category_id": "pit"}, r"Expected `int`, got `str` - at `\$.annotations\[0\].category"),
    ],
)
def test_an_annotation_of_nothing_is_refused(tmp_path, fields, message):
    write_images(tmp_path, "a.png")
    write_json(tmp_path / "coco.json", ["a.png"], annotation(0, 1, BOX) | fields)
    with pytest.raises(DataError, match=message):
        coco.read(tmp_path)


def test_an_image_that_is_nowhere_is_refused_with_the_places(tmp_path):
    write_coco_2017(tmp_path)
    (tmp_path / "val2017/a.jpg").unlink()
    message = f"image 'a.jpg' is in none of {tmp_path}/annotations, {tmp_path}/val2017, {tmp_path};"
    with pytest.raises(DataError, match=message):
        coco.read(tmp_path)


def test_an_image_in_two_files_is_refused(tmp_path):
    write_flat(tmp_path)
    write_json(tmp_path / "more.json", ["a.jpg"])
    with pytest.raises(DataError, match=r"more.json: lists 'a.jpg' a second time"):
        coco.read(tmp_path)


def test_two_images_of_one_id_are_refused(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    path = tmp_path / "labels.json"
    write_json(path, ["a.jpg", "b.jpg"], annotation(0, 1, BOX))
    path.write_text(path.read_text().replace('"id": 1, "file_name"', '"id": 0, "file_name"'))
    with pytest.raises(DataError, match=r"labels.json: has two images of id 0; export the file an"):
        coco.read(tmp_path)


def test_a_file_may_begin_with_a_mark_of_its_encoding(tmp_path):
    write_flat(tmp_path)
    path = tmp_path / "labels.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert coco.read(tmp_path).samples[0].kind == "scratch"


def test_a_file_that_ends_early_is_refused(tmp_path):
    write_flat(tmp_path)
    path = tmp_path / "labels.json"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(DataError, match=r"labels.json: Input data was truncated; export it anew"):
        coco.read(tmp_path)


def test_an_image_of_another_size_than_recorded_is_refused(tmp_path):
    sample = read_one(tmp_path, (1, BOX))
    message = r"coco.json: image 'a.png' was labelled at 9x7, its image is 4x3; restore"
    with pytest.raises(DataError, match=message):
        sample.drawing.draw((3, 4))


def test_the_digest_changes_with_the_drawing(tmp_path):
    one, same, other, relabelled = (
        read_one(tmp_path, pair).drawing.digest()
        for pair in ((1, BOX), (1, BOX), (1, as_text(RING)), (2, BOX))
    )
    assert one == same
    assert len({one, other, relabelled}) == 3


def test_an_image_without_annotations_in_a_folder_of_bad_ones_is_refused(tmp_path):
    write_images(tmp_path / "NG", "a.png", "b.png")
    names = ["NG/a.png", "NG/b.png"]
    write_json(tmp_path / "x.json", names, *(annotation(number, 1, BOX) for number in (0, 1)))
    assert len(coco.read(tmp_path).samples) == 2
    write_json(tmp_path / "x.json", names, annotation(0, 1, BOX))
    with pytest.raises(
        DataError, match=r"b\.png: has no mask, .* in a folder 'NG'; draw its .*move"
    ):
        coco.read(tmp_path)


def test_a_file_may_be_named_in_capitals(tmp_path):
    write_images(tmp_path, "a.png")
    write_json(tmp_path / "X.JSON", ["a.png"], annotation(0, 1, BOX))
    assert format_of(tmp_path) == "coco"
    assert [s.kind for s in coco.read(tmp_path).samples] == ["scratch"]
