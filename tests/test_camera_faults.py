"""What becomes of a camera's troubles: each has a name, is said once, and ends by itself."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from runtime.camera import Camera
from runtime.errors import SourceError
from runtime.preprocess import PixelFormat

pytestmark = pytest.mark.camera

FAST = "width=320&height=180&fps=60"


class Run:
    """The runtime in a process of its own, once it has judged three frames."""

    def __init__(self, bundle, uri):
        command = ["runtime", "--camera", uri, "--bundle", bundle]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "defectgate", *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self.judge(4)

    def judge(self, count):
        """Read so many more lines."""
        self.lines += list(itertools.islice(self.process.stdout, count))

    def said(self):
        """The next line on standard error."""
        return self.process.stderr.readline()

    def end(self, number):
        """Its verdicts and status, and what it said at last; the counts add up."""
        self.process.send_signal(number)
        after, said = self.process.communicate(timeout=60)
        _, *verdicts, counts = map(json.loads, [*self.lines, *after.splitlines()])
        answers = ("OK", "NG", "REVIEW", "UNKNOWN")
        assert counts["samples"] == len(verdicts) == sum(counts[answer] for answer in answers)
        assert counts["dropped"] == sum(line["dropped"] for line in verdicts)
        seqs = [line["seq"] for line in verdicts]
        assert seqs == sorted(set(seqs))
        return verdicts, self.process.returncode, said


def until(frames, is_found):
    """The first such frame; at 60/s, a minute is looked through and no frame is held."""
    for frame in itertools.islice(frames, 3600):
        if is_found(frame):
            return frame
        del frame
    pytest.fail("no such frame came")


def is_back(capsys, heard=None):
    """Whether the camera said so; `heard` collects its lines."""
    heard = [] if heard is None else heard

    def is_heard(frame):
        del frame
        heard.extend(capsys.readouterr().err.splitlines())
        return any("is back after" in line for line in heard)

    return is_heard


def later(action, *arguments):
    thread = threading.Timer(0.5, action, arguments)
    thread.start()
    return thread


def test_a_run_outlives_its_camera(plain_bundle, vivid):
    run = Run(plain_bundle, f"{vivid.path}?{FAST}")
    for _ in range(2):
        vivid.unplug()
        assert run.said() == f"camera {vivid.path}: is gone; plug it in; waiting for it\n"
        vivid.plug()
        assert run.said().startswith(f"camera {vivid.path}: is back after ")
        run.judge(5)
    _, status, said = run.end(signal.SIGTERM)
    assert (status, said) == (0, "")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_waits_for_its_camera_can_be_stopped(plain_bundle, vivid, ending):
    run = Run(plain_bundle, f"{vivid.path}?{FAST}")
    vivid.unplug()
    run.said()
    _, status, said = run.end(ending)
    assert (status, said) == (0, "")


def test_an_interrupted_run_ends_with_its_counts(plain_bundle, vivid):
    _, status, said = Run(plain_bundle, f"{vivid.path}?{FAST}").end(signal.SIGINT)
    assert status != 0
    assert "Traceback" not in said


def test_a_camera_that_is_back_is_set_as_before(vivid, capsys):
    with Camera(f"{vivid.path}?{FAST}&format=BGR&brightness=9") as camera:
        frames = camera.frames()
        before = next(frames).seq  # who holds a frame holds its device's number too
        vivid.unplug()
        thread = later(vivid.plug)
        frame = until(frames, is_back(capsys))
        thread.join()
        assert (frame.size, frame.format) == ((320, 180), PixelFormat.BGR)
        assert frame.dropped == frame.seq - before - 1
        assert "brightness: 9" in vivid.control("-C", "brightness")
        assert "60.000" in vivid.control("--get-parm")


@pytest.mark.parametrize(
    ("broken", "mended", "said"),
    [
        ("inject_fatal_streaming_error=1", None, "failed (VIDIOC_DQBUF: Input/output error)"),
        ("disconnect=1", None, "is gone; plug it in"),
        ("percentage_of_dropped_buffers=100", "percentage_of_dropped_buffers=0", "gives no frames"),
    ],
)
def test_a_trouble_is_named_once_and_outlived(vivid, capsys, broken, mended, said):
    with Camera(f"{vivid.path}?{FAST}&timeout=1") as camera:
        frames = camera.frames()
        next(frames)
        vivid.control("-c", broken)
        thread = threading.Timer(3.0, vivid.control, ("-c", mended)) if mended else None
        if thread:
            thread.start()
        heard = []
        until(frames, is_back(capsys, heard))
        if thread:
            thread.join()
        until(frames, lambda frame: frame.dropped == 0)
    assert len(heard) == 2
    assert heard[0].startswith(f"camera {vivid.path}: {said}")
    assert heard[0].endswith("; waiting for it")


@pytest.mark.parametrize("call", ["reqbufs", "qbuf", "streamon"])
def test_a_call_that_fails_at_the_start_is_named(vivid, call):
    vivid.control("-c", f"inject_vidioc_{call}_error=1")
    with pytest.raises(SourceError, match=f"VIDIOC_{call.upper()}: Invalid argument"):
        Camera(str(vivid.path))
    with Camera(f"{vivid.path}?{FAST}") as camera:
        assert next(camera.frames()).seq == 0


def test_a_broken_frame_is_a_fault_and_the_stream_goes_on(vivid, capsys):
    with Camera(f"{vivid.path}?{FAST}") as camera:
        frames = camera.frames()
        next(frames)
        vivid.control("-c", "inject_v4l2_buf_flag_error=1")
        broken = until(frames, lambda frame: frame.fault)
        assert broken.pixels is None
        assert broken.fault == f"{vivid.path}: the driver says that the frame is broken"
        assert until(frames, lambda frame: frame.pixels is not None).seq > broken.seq
    assert capsys.readouterr().err == ""


def test_another_program_cannot_change_the_format_meanwhile(vivid):
    with Camera(f"{vivid.path}?{FAST}") as camera:
        frames = camera.frames()
        next(frames)
        with pytest.raises(subprocess.CalledProcessError):
            vivid.control("-v", "width=640,height=360")
        vivid.control("-p", "10")  # the rate it can
        assert [frame.size for frame in itertools.islice(frames, 5)] == [(320, 180)] * 5


def hdmi(vivid, timings):
    vivid.control("-i", "3")
    vivid.control("-c", f"dv_timings_signal_mode=4,dv_timings={timings}")


def test_a_signal_is_taken_as_it_comes_and_as_it_changes(vivid, capsys):
    hdmi(vivid, 0)  # 640x480
    with Camera(str(vivid.path)) as camera:
        frames = camera.frames()
        assert next(frames).size == (640, 480)
        hdmi(vivid, 4)  # 720x576
        until(frames, is_back(capsys))
        assert "720" in vivid.control("--get-dv-timings")


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (1, "has no signal"),
        (2, "has an unstable signal"),
        (3, "has a signal that it does not take"),
    ],
)
def test_a_lost_signal_is_named_and_waited_for(vivid, capsys, mode, said):
    hdmi(vivid, 0)
    with Camera(str(vivid.path)) as camera:
        frames = camera.frames()
        next(frames)
        vivid.control("-c", f"dv_timings_signal_mode={mode}")
        thread = threading.Timer(2.0, hdmi, (vivid, 0))
        thread.start()
        heard = []
        until(frames, is_back(capsys, heard))
        thread.join()
    changed, lost, *_ = heard
    assert "changed its format" in changed
    assert said in lost


def test_a_camera_without_a_signal_is_said_at_the_start(vivid):
    vivid.control("-i", "3")
    vivid.control("-c", "dv_timings_signal_mode=1")
    with pytest.raises(SourceError, match="has no signal; check its cable"):
        Camera(str(vivid.path))


def test_interlaced_pictures_are_refused(vivid):
    vivid.control("-i", "2")  # S-Video
    with pytest.raises(SourceError, match="gives interlaced pictures; set it or its source to"):
        Camera(str(vivid.path))


def test_a_stop_ends_the_frames_at_once(vivid):
    stop = threading.Event()
    vivid.control("-c", "percentage_of_dropped_buffers=100")
    with Camera(f"{vivid.path}?{FAST}&timeout=1000", stop) as camera:
        later(stop.set)
        began = time.monotonic()
        assert list(camera.frames()) == []
    assert time.monotonic() - began < 100
