"""Mask files as drawings: the class of each pixel, or a refusal that says how to mend the file."""

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.errors import DataError
from runtime.images import write_png
from train.drawing import MaskFile, Relabelled, holds_indices, read_mask_file

SHAPE = (24, 32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.png"


def mask(value):
    """Zero but for a defect of six pixels."""
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[4:6, 5:8] = value
    return pixels


@pytest.mark.parametrize(("value", "index", "drawn"), [(255, 2, 2), (3, None, 3), (1, 4, 4)])
def test_a_mask_gives_the_class_of_each_pixel(path, value, index, drawn):
    write_png(path, mask(value))
    found = MaskFile(path, index).draw(SHAPE)
    assert found.dtype == np.uint8
    assert np.array_equal(found, mask(drawn))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full(SHAPE, 200), r"mask has the values 200 \(L\), expected 0 and 255, or class"),
        (np.eye(*SHAPE) * 255 + 7, r"mask has the values 7, 262.* expected 0 and 255"),
        (np.arange(3) * np.ones((*SHAPE, 3)), "mask has colours; save 0 and 255, or class"),
    ],
)
def test_a_mask_with_values_of_no_meaning_is_refused(path, pixels, message):
    cv2.imwrite(str(path), pixels.astype(np.uint16 if pixels.max() > 255 else np.uint8))
    with pytest.raises(DataError, match=rf"m\.png: {message}"):
        read_mask_file(path)


def test_a_white_mask_among_class_indices_is_refused(path):
    write_png(path, mask(255))
    message = r"m\.png: mask has the value 255, other masks of the set hold class indices; save"
    with pytest.raises(DataError, match=message):
        MaskFile(path, None).draw(SHAPE)


def test_a_palette_of_white_and_black_is_a_picture(path):
    for pixels in (mask(255), mask(0)):
        picture = Image.fromarray(np.where(pixels, 0, 1).astype(np.uint8), "P")
        picture.putpalette([255, 255, 255, 0, 0, 0])
        picture.save(path)
        assert np.array_equal(read_mask_file(path), pixels)


def test_an_empty_mask_of_a_palette_with_colours_is_empty(path):
    picture = Image.fromarray(mask(0), "P")
    picture.putpalette([255, 255, 255, 200, 0, 0, 0, 0, 0])
    picture.save(path)
    assert not read_mask_file(path).any()


def test_a_mask_that_is_transparent_where_it_is_black_is_read(path):
    Image.fromarray(np.repeat(mask(255)[..., None], 4, axis=2)).save(path)
    assert np.array_equal(read_mask_file(path), mask(255))


def test_a_mask_in_the_transparency_is_refused(path):
    pixels = np.zeros((*SHAPE, 4), np.uint8)
    Image.fromarray(pixels).save(path)
    assert not read_mask_file(path).any()
    pixels[..., 3] = mask(255)
    Image.fromarray(pixels).save(path)
    with pytest.raises(DataError, match=r"m\.png: mask is drawn in its transparency; save 0 and"):
        read_mask_file(path)


@pytest.mark.parametrize("value", [0.9, np.nan, -1])
def test_a_value_that_is_no_index_is_refused(tmp_path, value):
    path = tmp_path / "m.tif"
    pixels = mask(0).astype(np.float32 if isinstance(value, float) else np.int32)
    pixels[2, 3] = value
    Image.fromarray(pixels).save(path)
    with pytest.raises(DataError, match=r"m\.tif: mask has the values .*expected 0 and 255"):
        read_mask_file(path)


def test_a_mask_may_be_as_large_as_its_image(path):
    Image.new("1", (16384, 11000)).save(path)  # beyond what Pillow takes unless it is told
    assert read_mask_file(path).shape == (11000, 16384)


def test_a_palette_mask_gives_its_indices(path):
    picture = Image.fromarray(mask(2), "P")
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(path)
    assert np.array_equal(MaskFile(path, None).draw(SHAPE), mask(2))


@pytest.mark.parametrize("light", [[200, 0, 0], [254, 254, 254]])
def test_a_palette_that_shows_good_bright_and_a_defect_black_is_refused(path, light):
    picture = Image.fromarray(mask(1), "P")
    picture.putpalette([*light, 1, 1, 1])
    picture.save(path)
    with pytest.raises(DataError, match=r"m\.png: its palette has a colour for index 0, which is"):
        read_mask_file(path)


def test_class_indices_in_a_jpeg_are_refused(tmp_path):
    Image.fromarray(mask(2)).save(tmp_path / "m.jpg", quality=100)
    with pytest.raises(
        DataError, match=r"m\.jpg: holds class indices, which JPEG changes; save it"
    ):
        MaskFile(tmp_path / "m.jpg", None).draw(SHAPE)


def test_a_mask_of_another_size_is_refused(path):
    write_png(path, np.zeros((30, 40), np.uint8))
    message = r"m\.png: mask is 40x30, its image is 32x24; draw the mask on the image"
    with pytest.raises(DataError, match=message):
        MaskFile(path, 1).draw(SHAPE)


EMPTY_TIFF = b"II*\0\x08\0\0\0" + bytes(6)


@pytest.mark.parametrize("content", [b"", b"pixels", EMPTY_TIFF])
def test_what_is_no_image_is_named(path, content):
    path.write_bytes(content)
    message = rf"m\.png: is not a readable image \({len(content)} bytes\); restore or remove the"
    with pytest.raises(DataError, match=message):
        read_mask_file(path)


def test_one_mask_with_a_2_makes_them_all_indices(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(100)]
    for file in paths:
        write_png(file, mask(1))
    assert not holds_indices(paths)
    write_png(paths[61], mask(2))
    assert holds_indices(paths)


def test_classes_are_renumbered_and_an_unknown_one_is_refused(path):
    write_png(path, mask(2))
    assert np.array_equal(Relabelled(MaskFile(path, None), (0, 5, 3)).draw(SHAPE), mask(3))
    with pytest.raises(DataError, match=r"m\.png: has a pixel of class 2, the set has 1 classes"):
        Relabelled(MaskFile(path, None), (0, 1)).draw(SHAPE)
