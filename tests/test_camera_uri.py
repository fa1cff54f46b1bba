"""What a camera's address asks for, and what is said of one that asks for nonsense."""

from pathlib import Path

import pytest

from runtime.camera_uri import CameraUri, camera_uri
from runtime.errors import SourceError
from runtime.preprocess import UPRIGHT, Rect, Turn


def test_without_settings_all_stays_as_it_is():
    found = camera_uri("/dev/video0")
    assert found == CameraUri(Path("/dev/video0"), 0, 0, 0.0, "", -1, 0.0, UPRIGHT, None, {})


def test_settings_are_read_and_the_rest_are_controls_in_their_order():
    found = camera_uri(
        "/dev/v4l/by-id/line-3?fps=59.94&width=1280&gain=4&height=720&format=YUYV&cpu=2&timeout=0.5"
        "&auto_exposure=manual%20mode&exposure_time_absolute=40&turn=3&mirror=1&crop=0,120,640,480"
    )
    controls = {"gain": "4", "auto_exposure": "manual mode", "exposure_time_absolute": "40"}
    path = Path("/dev/v4l/by-id/line-3")
    turn = Turn(3, mirrored=True)
    crop = Rect(0, 120, 640, 480)
    assert found == CameraUri(path, 1280, 720, 59.94, "YUYV", 2, 0.5, turn, crop, controls)
    assert list(found.controls) == list(controls)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("width=wide", "width is 'wide', expected a number from 1 to 32768"),
        ("width=0", "width is '0', expected a number from 1 to 32768"),
        ("height=-1", "height is '-1', expected"),
        ("fps=nan", "fps is 'nan', expected"),
        ("fps=", "fps is '', expected"),
        ("cpu=1.5", "cpu is '1.5', expected a number from 0 to 1023"),
        ("timeout=0", "timeout is '0', expected"),
        ("turn=90", "turn is '90', expected a number from 0 to 3"),
        ("mirror=2", "mirror is '2', expected a number from 0 to 1"),
        ("crop=1,2,3", "crop is '1,2,3', expected x,y,width,height in pixels"),
        ("crop=-1,2,3,4", "crop is '-1,2,3,4', expected"),
        ("crop=1,2,0,4", "crop is '1,2,0,4', expected"),
        ("crop=", "crop is '', expected"),
        ("width=1&width=2", "expected name=value&name=value, each name once"),
        ("width", "width is '', expected"),
    ],
)
def test_nonsense_is_said_in_one_line(query, said):
    with pytest.raises(SourceError) as raised:
        camera_uri(f"/dev/video0?{query}")
    assert str(raised.value).startswith(f"--camera /dev/video0?{query}: {said}")
    assert "\n" not in str(raised.value)
