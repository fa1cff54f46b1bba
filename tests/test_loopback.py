"""Pictures played through the kernel's v4l2loopback are judged as from files."""

import fcntl
import itertools
import json
import os
import struct
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.camera import Camera
from runtime.images import read_image

DEVICE = Path("/dev/video10")
SIDE = 64

pytestmark = [
    pytest.mark.camera,
    pytest.mark.skipif(
        not DEVICE.exists(),
        reason="needs camera-vm --loopback 'video_nr=10 exclusive_caps=1'",
    ),
]


class Feed:
    """Plays pictures to the loopback, over and over, as long as the context is open."""

    def __init__(self, pictures, fourcc, fps):
        self.pictures, self.fourcc, self.pause_s = pictures, fourcc, 1 / fps
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.play)

    def __enter__(self):
        self.file = os.open(DEVICE, os.O_RDWR)
        wanted = bytearray(208)  # struct v4l2_format; type 2 is output, field 1 is none
        largest = max(map(len, self.pictures))
        size = SIDE, SIDE, self.fourcc, 1, 0, largest, 8
        struct.pack_into("I4xII4sIIII", wanted, 0, 2, *size)
        fcntl.ioctl(self.file, 0xC0D05605, wanted)
        os.write(self.file, self.pictures[0])
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.thread.join()
        os.close(self.file)

    def play(self):
        """Until the context is closed."""
        for picture in itertools.cycle(self.pictures):
            if self.closing.wait(self.pause_s):
                return
            os.write(self.file, picture)


@pytest.fixture(scope="module")
def folder(drawn_set, tmp_path_factory):
    """Ten synthetic surfaces, the half of them inverted, so that they are NG."""
    out = tmp_path_factory.mktemp("played")
    sources = sorted((drawn_set / "images").rglob("*.png"))[:10]
    for number, source in enumerate(sources):
        image = read_image(source, 1)
        dark = image if image.mean() < 127 else 255 - image
        cv2.imwrite(str(out / f"{number}.png"), 255 - dark if number % 2 else dark)
    return out


def verdicts_of(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[1:-1]]


def judged(line):
    return line["verdict"], line["score"], json.dumps(line["defects"])


def test_played_pictures_are_judged_as_from_files(defectgate, plain_bundle, folder):
    from_files = verdicts_of(defectgate("runtime", "--camera", folder, "--bundle", plain_bundle))
    expected = {judged(line) for line in from_files}
    assert {answer for answer, *_ in expected} == {"OK", "NG"}
    pictures = [read_image(path, 1).tobytes() for path in sorted(folder.iterdir())]
    uri = f"{DEVICE}?format=GREY"
    with Feed(pictures, b"GREY", fps=20):
        done = defectgate("runtime", "--camera", uri, "--bundle", plain_bundle, "--frames", "60")
    played = verdicts_of(done)
    assert {judged(line) for line in played} == expected
    assert done.stderr == ""
    assert played[-1]["seq"] < 600  # the loopback's first number is no gap


def test_recorded_frames_are_the_played_pictures(defectgate, folder, tmp_path):
    pictures = [read_image(path, 1).tobytes() for path in sorted(folder.iterdir())]
    asked = ("--camera", f"{DEVICE}?format=GREY", "--out", tmp_path / "seen", "--frames", "20")
    with Feed(pictures, b"GREY", fps=20):
        done = defectgate("record", *asked, "--every", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    recorded = [read_image(path, 1).tobytes() for path in (tmp_path / "seen").iterdir()]
    assert len(recorded) == 20
    assert 1 < len(set(recorded)) <= len(set(recorded) | set(pictures)) == len(pictures)


def test_mjpeg_is_decoded_and_a_torn_picture_is_a_fault(folder):
    paths = sorted(folder.iterdir())
    jpegs = [cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes() for path in paths]
    decoded = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    pictures = [*jpegs[:4], jpegs[4][: len(jpegs[4]) // 2], b"no JPEG at all"]
    with Feed(pictures, b"MJPG", fps=20), Camera(f"{DEVICE}?format=MJPEG") as camera:
        frames = list(itertools.islice(camera.frames(), 40))
    whole = [frame for frame in frames if frame.pixels is not None]
    torn = [frame for frame in frames if frame.pixels is None]
    assert torn
    assert all("no whole JPEG" in frame.fault for frame in torn)
    seen = {
        number
        for frame in whole
        for number, picture in enumerate(decoded)
        if np.array_equal(frame.pixels, picture)
    }
    assert seen == {0, 1, 2, 3}
    assert len(torn) + sum(any(np.array_equal(f.pixels, d) for d in decoded) for f in whole) == 40


def test_a_slow_judge_keeps_its_picture_and_the_stream(capsys):
    """Each picture is its number; the driver fills two buffers in turn, whoever has them."""
    pictures = [bytes([number]) * (SIDE * SIDE) for number in range(250)]
    shown, seqs, dropped = [], [], []
    with Feed(pictures, b"GREY", fps=20):
        time.sleep(0.5)  # what was played before the camera is open is no loss
        with Camera(f"{DEVICE}?format=GREY") as camera:
            for frame in itertools.islice(camera.frames(), 10):
                shown.append(int(frame.pixels[0, 0]))
                time.sleep(0.3)
                assert np.unique(frame.pixels).tolist() == shown[-1:]
                seqs.append(frame.seq)
                dropped.append(frame.dropped)
                del frame
    assert capsys.readouterr().err == ""
    assert sum(dropped) == seqs[-1] - 9 > 20
    assert [number - shown[0] for number in shown] == [seq - seqs[0] for seq in seqs]


def test_a_dead_writer_is_a_stall(folder, capsys):
    pictures = [read_image(path, 1).tobytes() for path in sorted(folder.iterdir())]
    with Feed(pictures, b"GREY", fps=20) as feed, Camera(f"{DEVICE}?timeout=1") as camera:
        frames = camera.frames()
        next(frames)
        feed.closing.set()
        feed.thread.join()
        revived = Feed(pictures, b"GREY", fps=20)
        revived.file = feed.file
        timer = threading.Timer(2.0, revived.thread.start)
        timer.start()
        heard = ""
        for _ in frames:
            heard += capsys.readouterr().err
            if "is back" in heard:
                break
        timer.join()
        revived.closing.set()
        revived.thread.join()
    assert "gives no frames; check its cable and its trigger" in heard
