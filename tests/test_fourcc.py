"""Formats by name: what a frame's words may hold."""

import numpy as np
import pytest

from runtime.fourcc import BITS, FOURCC, MJPEG, exceeds_its_bits, pixel_format

LEVELS = np.arange(1024, dtype="<u2").reshape(16, 64)


def frame(words):
    return words.view(np.uint8).reshape(*words.shape, 2)


@pytest.mark.parametrize(
    ("name", "shift", "exceeds"),
    [
        ("RGGB10", 0, False),
        ("RGGB10", 6, True),
        ("Y10", 0, False),
        ("Y10", 6, True),
        ("Y12", 2, False),
        ("Y12", 4, True),
        ("Y16", 6, False),
    ],
)
def test_words_with_more_bits_than_their_format_are_told(name, shift, exceeds):
    assert exceeds_its_bits(frame(LEVELS << shift), name) == exceeds


def test_formats_of_bytes_have_none_to_exceed():
    assert not exceeds_its_bits(np.full((4, 8), 255, np.uint8), "GREY")
    assert not exceeds_its_bits(np.full((4, 10), 255, np.uint8), "Y10P")
    assert not exceeds_its_bits(np.full((6, 8), 255, np.uint8), "NV12")


def test_every_format_of_words_but_that_of_16_bits_has_some_to_exceed():
    words = {
        name for name in FOURCC if name != MJPEG and pixel_format(name).shape(4, 4)[2:] == (2,)
    }
    assert words - {*BITS} == {"YUYV", "UYVY", "Y16"}
