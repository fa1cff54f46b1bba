"""`record`: what a source shows, as images to train on."""

import contextlib
import itertools
import re
import threading
import time

import cv2
import numpy as np
import pytest

from runtime import recording
from runtime.frame import Frame
from runtime.preprocess import PixelFormat

RNG = np.random.default_rng(0)


def draw(folder, *names):
    folder.mkdir()
    for name in names:
        cv2.imwrite(str(folder / name), RNG.integers(0, 256, (48, 64, 3), np.uint8))


def test_frames_are_saved_as_they_are(defectgate, tmp_path):
    draw(tmp_path / "seen", "a.png", "b.png", "d.png")
    (tmp_path / "seen/c.png").write_bytes(b"no image")
    out = tmp_path / "of" / "today"
    done = defectgate("record", "--camera", tmp_path / "seen", "--out", out)
    assert done.returncode == 0
    assert re.fullmatch(r"--camera .*/seen: c\.png: .*c\.png: is not a readable .*\n", done.stderr)
    assert done.stdout.splitlines() == [str(path) for path in sorted(out.iterdir())]
    saved = [cv2.imread(str(path)) for path in sorted(out.iterdir())]
    drawn = [cv2.imread(str(tmp_path / "seen" / name)) for name in ("a.png", "b.png", "d.png")]
    assert np.array_equal(saved, drawn)


def test_where_nothing_can_be_saved_it_is_an_error(defectgate, tmp_path):
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/c.png").write_bytes(b"no image")
    done = defectgate("record", "--camera", tmp_path / "seen", "--out", tmp_path / "out")
    assert done.returncode == 1
    *_, said = done.stderr.splitlines()
    assert said == f"SourceError: --camera {tmp_path}/seen: gave no frame that can be saved"
    assert not (tmp_path / "out").exists()


def test_no_frame_is_saved_among_those_that_are_read(defectgate, tmp_path):
    draw(tmp_path / "seen", "a.png")
    done = defectgate("record", "--camera", tmp_path / "seen", "--out", tmp_path / "seen/out")
    assert done.returncode == 1
    assert f"--out {tmp_path}/seen/out: lies in {tmp_path}/seen, which is read" in done.stderr
    assert not (tmp_path / "seen/out").exists()


def test_no_more_are_saved_than_asked_for(defectgate, tmp_path):
    draw(tmp_path / "seen", "a.png", "b.png", "c.png")
    for number in (1, 2):
        done = defectgate(
            *("record", "--camera", tmp_path / "seen", "--out", tmp_path / "out", "--frames", "2")
        )
        assert done.returncode == 0
        assert len(list((tmp_path / "out").iterdir())) == 2 * number  # and none is lost


def test_a_camera_whose_stamps_jump_back_is_saved_all_the_same(monkeypatch, tmp_path):
    pixels, clock_s = np.zeros((8, 8), np.uint8), itertools.count(100.0, 0.5)
    stamps_ns = [9_000_000_000, *[0] * 19]
    frames = [Frame(pixels, PixelFormat.GREY, "", *stamp) for stamp in enumerate(stamps_ns)]
    monkeypatch.setattr(recording, "open_source", lambda *_: contextlib.nullcontext(frames))
    monkeypatch.setattr(recording, "is_camera", lambda _: True)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock_s))
    saved = recording.record_frames("/dev/video0", tmp_path, 1.0, None, threading.Event())
    assert len(list(saved)) == 10


@pytest.mark.parametrize("every", ["inf", "nan", "-1"])
def test_a_pause_that_is_no_time_is_wrong_usage(defectgate, tmp_path, every):
    done = defectgate("record", "--camera", "/dev/video0", "--out", tmp_path, "--every", every)
    assert done.returncode == 2
    assert "--every" in done.stderr
    assert "Traceback" not in done.stderr
