"""Which of a camera's modes is best for inspection, and what is said where there is no camera."""

import json

import pytest

from runtime.cameras import Mode, cameras, choose

YUYV, GREY, MJPEG = "YUYV", "GREY", "MJPEG"


@pytest.mark.parametrize(
    ("modes", "best", "why"),
    [
        (
            [(YUYV, 640, 480, 30), (YUYV, 1920, 1080, 5), (YUYV, 1280, 720, 10)],
            (YUYV, 1280, 720, 10),
            "uncompressed, in colour, the largest size at 10/s or more",
        ),
        (
            [(MJPEG, 1920, 1080, 30), (YUYV, 640, 480, 30)],
            (YUYV, 640, 480, 30),
            "uncompressed, in colour, the largest size at 10/s or more",
        ),
        (
            [(MJPEG, 640, 480, 60), (MJPEG, 1920, 1080, 30)],
            (MJPEG, 1920, 1080, 30),
            "compressed, there is nothing else, in colour, the largest size at 10/s or more",
        ),
        (
            [(YUYV, 1920, 1080, 2), (YUYV, 640, 480, 8)],
            (YUYV, 640, 480, 8),
            "uncompressed, in colour, the fastest, none reaches 10/s",
        ),
        (
            [(GREY, 640, 480, 30), (YUYV, 640, 480, 30)],
            (YUYV, 640, 480, 30),
            "uncompressed, in colour, the largest size at 10/s or more",
        ),
        (
            [(GREY, 640, 480, 30), (GREY, 640, 480, 60)],
            (GREY, 640, 480, 60),
            "uncompressed, grey, the largest size at 10/s or more",
        ),
        ([(GREY, 0, 0, 0)], (GREY, 0, 0, 0), "uncompressed, grey, the largest size"),
    ],
)
def test_the_best_mode_is_uncompressed_then_fast_enough_then_large(modes, best, why):
    assert choose([Mode(*mode) for mode in modes]) == (Mode(*best), why)


def test_without_a_mode_there_is_no_best():
    assert choose([]) is None


def test_what_is_no_camera_is_not_listed(tmp_path):
    (tmp_path / "video0").write_bytes(b"")
    (tmp_path / "videos").mkdir()
    assert cameras(tmp_path) == []


def test_a_camera_that_cannot_be_opened_is_listed_with_its_fault(tmp_path):
    (tmp_path / "video3").symlink_to(tmp_path / "nowhere")
    (found,) = cameras(tmp_path)
    assert (found.path, found.best) == (str(tmp_path / "video3"), None)
    assert found.reason == "is gone; plug it in"


def test_the_list_is_json_where_that_is_asked_for(defectgate):
    done = defectgate("cameras", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout), list)
