"""What a camera calls a JPEG: a picture of its size, or a fault, whatever the bytes are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.mjpeg import decoded

CAMERA = Path("/dev/video0")
SIZE = 40, 24
NOISE = np.random.default_rng(1).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
JPEG = cv2.imencode(".jpg", NOISE)[1]
PROGRESSIVE = cv2.imencode(".jpg", NOISE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]


def claiming(width, height):
    """The JPEG with another size in its header."""
    data = bytearray(JPEG.tobytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return np.frombuffer(data, np.uint8)


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_whole_jpeg_is_its_picture(data):
    picture, fault = decoded(data, SIZE, CAMERA)
    assert fault is None
    assert np.array_equal(picture, cv2.imdecode(data, cv2.IMREAD_COLOR))


def test_padding_does_no_harm():
    padded = np.concatenate(
        [JPEG[:2], np.full(3, 255, np.uint8), JPEG[2:], np.zeros(500, np.uint8)]
    )
    picture, fault = decoded(padded, SIZE, CAMERA)
    assert fault is None
    assert np.array_equal(picture, decoded(JPEG, SIZE, CAMERA)[0])


@pytest.mark.parametrize("count", [0, 1, 2, 100, len(JPEG) // 2, len(JPEG) - 1])
def test_a_torn_one_is_a_fault(count):
    picture, fault = decoded(JPEG[:count], SIZE, CAMERA)
    assert picture is None
    assert fault.startswith(f"/dev/video0: the frame's {count} bytes are no whole JPEG (")


@pytest.mark.parametrize(
    ("lost", "restart_interval"),
    [((0.3, 1.0), 0), ((0.5, 0.7), 0), ((0.3, 1.0), 4), ((0.5, 0.7), 4), ((0.5, 0.503), 4)],
)
def test_one_that_lacks_a_part_but_has_its_end_is_a_fault(lost, restart_interval):
    how = [cv2.IMWRITE_JPEG_RST_INTERVAL, restart_interval]
    whole = cv2.imencode(".jpg", cv2.resize(NOISE, (320, 240)), how)[1]
    first, last = (int(share * len(whole)) for share in lost)
    rest = np.concatenate([whole[:first], whole[last:-2], whole[-2:]])
    picture, fault = decoded(rest, (320, 240), CAMERA)
    assert picture is None
    assert f"the frame's {len(rest)} bytes are no whole JPEG (" in fault


def test_one_that_is_filled_up_before_its_end_is_its_picture():
    filled = np.concatenate([JPEG[:-2], np.zeros(3, np.uint8), JPEG[-2:]])
    picture, fault = decoded(filled, SIZE, CAMERA)
    assert fault is None
    assert np.array_equal(picture, decoded(JPEG, SIZE, CAMERA)[0])


def test_one_without_huffman_tables_is_its_picture():
    """Some cameras leave out the standard tables, which AVI allows."""
    data, bare = JPEG.tobytes(), b""
    while (at := data.find(b"\xff\xc4")) >= 0:
        bare += data[:at]
        data = data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    picture, fault = decoded(np.frombuffer(bare + data, np.uint8), SIZE, CAMERA)
    assert fault is None
    assert np.array_equal(picture, decoded(JPEG, SIZE, CAMERA)[0])


def test_what_begins_as_another_format_is_a_fault():
    bitmap = np.concatenate([np.frombuffer(b"BM", np.uint8), JPEG[2:]])
    picture, fault = decoded(bitmap, SIZE, CAMERA)
    assert picture is None
    assert fault.startswith(f"/dev/video0: the frame's {len(JPEG)} bytes are no whole JPEG (")


@pytest.mark.parametrize("size", [(65500, 65500), (20000, 20000), (50, 30), (24, 40)])
def test_one_of_another_size_is_a_fault_before_it_takes_memory(size):
    picture, fault = decoded(claiming(*size), SIZE, CAMERA)
    assert picture is None
    assert fault == f"/dev/video0: the JPEG is {size[0]}x{size[1]}, expected 40x24"


def test_one_that_is_sampled_in_an_unknown_way_is_a_fault():
    data = bytearray(JPEG.tobytes())
    data[data.index(b"\xff\xc0") + 11] = 0x14  # of the luma: 1 across, 4 down
    picture, fault = decoded(np.frombuffer(data, np.uint8), SIZE, CAMERA)
    assert picture is None
    assert fault.startswith(
        "/dev/video0: the JPEG's colours are sampled in a way that is not known"
    )


@given(st.lists(st.tuples(st.integers(0, len(JPEG) - 1), st.integers(0, 255)), max_size=30))
def test_noise_in_it_is_a_picture_of_its_size_or_a_fault(changes):
    data = JPEG.copy()
    for place, value in changes:
        data[place] = value
    picture, fault = decoded(data, SIZE, CAMERA)
    assert (picture is None) != (fault is None)
    assert picture is None or picture.shape == NOISE.shape


@given(st.binary(max_size=40))
def test_noise_before_its_size_is_a_picture_of_its_size_or_a_fault(noise):
    data = np.concatenate([JPEG[:2], np.frombuffer(noise, np.uint8), JPEG[2:]])
    picture, fault = decoded(data, SIZE, CAMERA)
    assert (picture is None) != (fault is None)
    assert picture is None or picture.shape == NOISE.shape
