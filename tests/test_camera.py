"""A real V4L2 camera, the kernel's virtual one: frames, their times, and what becomes of a loss."""

import fcntl
import itertools
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.camera import Camera
from runtime.errors import SourceError
from runtime.preprocess import PixelFormat

pytestmark = [
    pytest.mark.camera,
    pytest.mark.skipif(
        "CAMERA_VM" not in os.environ,
        reason="needs a machine with Linux's vivid camera that may be unplugged: camera-vm",
    ),
]

DEVICE = Path("/dev/video0")
DRIVER = Path("/sys/bus/platform/drivers/vivid")


@pytest.fixture
def plugged():
    """The camera, plugged in again after the test."""
    yield DEVICE
    if not DEVICE.exists():
        (DRIVER / "bind").write_text("vivid.0", encoding="ascii")


def set_size(width, height):
    """What `v4l2-ctl --set-fmt-video` does: struct v4l2_format, type 1 is capture."""
    wanted = bytearray(208)
    struct.pack_into("I4xII4s", wanted, 0, 1, width, height, b"YUYV")
    with DEVICE.open("rb", buffering=0) as device:
        fcntl.ioctl(device, 0xC0D05605, wanted)


def unplug():
    (DRIVER / "unbind").write_text("vivid.0", encoding="ascii")


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def assert_conserved(verdicts, counts):
    assert counts["type"] == "counts"
    assert counts["samples"] == len(verdicts) == counts["OK"] + counts["NG"] + counts["UNKNOWN"]
    for answer in ("OK", "NG", "UNKNOWN"):
        assert counts[answer] == sum(line["verdict"] == answer for line in verdicts)
    assert counts["dropped"] == sum(line["dropped"] for line in verdicts)


def started(bundle):
    """The runtime on the camera in a process of its own, once it has judged three frames."""
    process = subprocess.Popen(
        [sys.executable, "-m", "defectgate", "runtime", "--camera", DEVICE, "--bundle", bundle],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, "".join(itertools.islice(process.stdout, 4))


def finished(process, before):
    """Its verdicts and counts, what it said, and its status."""
    after, said = process.communicate(timeout=60)
    _, *verdicts, counts = lines_of(before + after)
    assert_conserved(verdicts, counts)
    assert len(verdicts) >= 3
    return verdicts, said.splitlines(), process.returncode


def test_ten_frames_get_ten_verdicts(defectgate, plain_bundle, plugged):
    done = defectgate("runtime", "--camera", plugged, "--bundle", plain_bundle, "--frames", "10")
    assert (done.returncode, done.stderr) == (0, "")
    header, *verdicts, counts = lines_of(done.stdout)
    assert header["source"] == str(plugged)
    assert counts["samples"] == 10
    assert counts["UNKNOWN"] == 0
    assert_conserved(verdicts, counts)
    times = [line["t_capture_ns"] for line in verdicts]
    assert all(before < after for before, after in itertools.pairwise(times))
    assert [line["source"] for line in verdicts] == [
        f"{plugged}#{line['seq']}" for line in verdicts
    ]


def test_frames_come_at_the_size_that_the_driver_is_set_to(plugged):
    for width, height in ((320, 180), (640, 360)):
        set_size(width, height)
        with Camera(plugged) as camera:
            frames = list(itertools.islice(camera.frames(), 3))
        for frame in frames:
            assert frame.format is PixelFormat.BGR
            assert frame.size == (width, height)
            assert frame.pixels.shape == (height, width, 3)
            colours = np.unique(frame.pixels.reshape(-1, 3), axis=0)
            assert len(colours) >= 8  # its bars
        assert len({frame.pixels.tobytes() for frame in frames}) == 3  # its clock runs


def test_yuyv_is_not_converted(plugged, monkeypatch):
    with Camera(plugged) as camera:
        converted = next(camera.frames())
    open_camera = cv2.VideoCapture

    def without_bgr(*arguments):
        capture = open_camera(*arguments)
        assert capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"YUYV"))
        return capture

    monkeypatch.setattr(cv2, "VideoCapture", without_bgr)
    with Camera(plugged) as camera:
        raw = next(camera.frames())
    width, height = raw.size
    assert raw.size == converted.size
    assert raw.format is PixelFormat.YUYV
    assert raw.pixels.shape == (height, width, 2)
    colours = cv2.cvtColor(raw.pixels, cv2.COLOR_YUV2BGR_YUYV)
    below_its_text = np.s_[height * 3 // 4 :]
    apart = np.abs(colours[below_its_text].astype(int) - converted.pixels[below_its_text])
    assert np.median(apart) <= 4
    assert np.mean(apart <= 8) > 0.9  # but where colours meet


def test_a_frame_that_is_kept_does_not_change(plugged):
    with Camera(plugged) as camera:
        frames = camera.frames()
        kept = next(frames)
        before = kept.pixels.copy()
        for _ in range(6):
            next(frames)
        assert np.array_equal(kept.pixels, before)


def test_frames_that_were_passed_over_are_counted(plugged):
    with Camera(plugged) as camera:
        frames = camera.frames()
        first = next(frames)
        while camera._grabbed < first.seq + 6:  # noqa: SLF001 - a slow judge
            pass
        second, third = next(frames), next(frames)
    assert second.dropped == second.seq - first.seq - 1 >= 4
    assert third.dropped == third.seq - second.seq - 1
    assert first.t_capture_ns < second.t_capture_ns < third.t_capture_ns


def test_a_camera_can_be_opened_again(plugged):
    for _ in range(2):
        with Camera(plugged) as camera:
            assert next(camera.frames()).seq == 0


def test_a_missing_camera_is_said_in_one_line(defectgate, plain_bundle):
    done = defectgate("runtime", "--camera", "/dev/video7", "--bundle", plain_bundle)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("SourceError: --camera /dev/video7: no such camera")


def test_a_camera_that_is_taken_is_said_in_one_line(defectgate, plain_bundle, plugged):
    with Camera(plugged) as camera:
        next(camera.frames())
        done = defectgate("runtime", "--camera", plugged, "--bundle", plain_bundle)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"SourceError: --camera {plugged}: ")


@pytest.mark.usefixtures("plugged")
def test_an_unplugged_camera_ends_the_run_with_its_counts(plain_bundle):
    process, before = started(plain_bundle)
    unplug()
    _, said, status = finished(process, before)
    assert status == 1
    (line,) = said
    assert line == f"SourceError: --camera {DEVICE}: was lost; check the cable and start again"


def test_an_interrupted_run_ends_with_its_counts(plain_bundle):
    process, before = started(plain_bundle)
    process.send_signal(signal.SIGINT)
    _, said, status = finished(process, before)
    assert status != 0
    assert not [line for line in said if "Traceback" in line]


def test_a_run_that_is_told_to_stop_ends_well_with_its_counts(plain_bundle):
    process, before = started(plain_bundle)
    process.send_signal(signal.SIGTERM)
    _, said, status = finished(process, before)
    assert (status, said) == (0, [])


def test_an_unplugged_camera_is_lost_to_who_waits_for_it(plugged):
    with Camera(plugged) as camera:
        frames = camera.frames()
        next(frames)
        unplug()
        with pytest.raises(SourceError, match="was lost"):
            list(itertools.islice(frames, 10))
