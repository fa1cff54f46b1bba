"""What a camera calls a JPEG: a picture of its size, or a fault, whatever the bytes are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.camera import decoded

CAMERA = Path("/dev/video0")
NOISE = np.random.default_rng(1).integers(0, 255, (24, 40, 3), np.uint8)
JPEG = cv2.imencode(".jpg", NOISE)[1]


def test_a_whole_jpeg_is_its_picture():
    picture, fault = decoded(JPEG, CAMERA)
    assert fault is None
    assert np.array_equal(picture, cv2.imdecode(JPEG, cv2.IMREAD_COLOR))


def test_padding_behind_it_does_no_harm():
    picture, fault = decoded(np.append(JPEG, np.zeros(500, np.uint8)), CAMERA)
    assert fault is None
    assert picture.shape == NOISE.shape


@pytest.mark.parametrize("count", [0, 1, 2, 100, len(JPEG) // 2, len(JPEG) - 1])
def test_a_torn_one_is_a_fault(count):
    picture, fault = decoded(JPEG[:count], CAMERA)
    assert picture is None
    assert fault == f"/dev/video0: the frame's {count} bytes are no whole JPEG"


@given(st.lists(st.tuples(st.integers(0, len(JPEG) - 1), st.integers(0, 255)), max_size=30))
def test_noise_in_it_is_a_picture_or_a_fault(changes):
    data = JPEG.copy()
    for place, value in changes:
        data[place] = value
    picture, fault = decoded(data, CAMERA)
    assert (picture is None) != (fault is None)
