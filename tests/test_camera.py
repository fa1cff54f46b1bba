"""A real V4L2 camera, the kernel's virtual one: its formats, settings, frames and their times."""

import contextlib
import gc
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from runtime import _native
from runtime.camera import Camera, device
from runtime.controls import controls_of
from runtime.errors import SourceError
from runtime.fourcc import CODES, FOURCC, MJPEG
from runtime.overlay import picture_of
from runtime.preprocess import PixelFormat, Rect, Tile, preprocess

pytestmark = pytest.mark.camera

SMALL, FAST = "width=320&height=180", "width=320&height=180&fps=60"
SIZE = WIDTH, HEIGHT = 320, 180
NOT_OF_VIVID = {MJPEG, *(name for name in FOURCC if name.endswith("10P"))}
BARS = [(2 * bar + 1) * WIDTH // 32 * 2 for bar in range(8)]  # an even column within each
COLOURS = np.array(
    [[255, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0],
     [255, 0, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]]
)  # fmt: skip


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def captured(path, name, *, stride=0):
    """A frame as it lies in the driver's buffer, by the format's name."""
    with device(path) as fd:
        code = int.from_bytes(FOURCC[name], "little")
        capture = _native.Capture(fd, *(() if stride else SIZE), fourcc=code)
    shot = capture.take(5000)
    assert (capture.width, capture.height, capture.fourcc) == (*SIZE, code)
    extent = PixelFormat[name].shape(*SIZE)
    row = int(np.prod(extent[1:]))
    assert capture.stride == (stride or row)
    steps = (capture.stride, *extent[2:], 1)
    pixels = np.ndarray(extent, np.uint8, memoryview(shot), strides=steps).copy()
    capture.close()
    return pixels


def numbers(camera, count):
    """Where so many frames stand, and what was dropped before each; none is held."""
    found = [(frame.seq, frame.dropped) for frame in itertools.islice(camera.frames(), count)]
    return tuple(zip(*found, strict=True))


def from_yuv(y, u, v):
    """BT.601 in limited range, by the formula."""
    y, u, v = 1.164383 * (y - 16.0), u - 128.0, v - 128.0
    rgb = y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u
    return np.stack(rgb, -1).clip(0, 255)


def from_mosaic(name, quads):
    """(N, 2, 2) of a Bayer pattern: the two greens are averaged."""
    places = {colour: [] for colour in "RGB"}
    for place, colour in enumerate(name[:4]):
        places[colour].append(quads.reshape(-1, 4)[:, place])
    return np.stack([np.mean(places[colour], axis=0) for colour in "RGB"], -1)


def reference(name, pixels):
    """The colours of the eight bars (8, 3) by numpy alone."""
    middle = HEIGHT // 2
    wide = pixels.view("<u2")[..., 0] if name.endswith(("10", "12", "16")) else pixels
    depth = {"10": 2, "12": 4, "16": 8}.get(name[-2:], 0)
    if name in {"GREY", "Y10", "Y12", "Y16"}:
        return np.repeat((wide[middle, BARS] >> depth)[:, None], 3, 1)
    if name in {"RGB", "BGR"}:
        return pixels[middle, BARS, :: 1 if name == "RGB" else -1]
    if name == "NV12":
        u, v = pixels[HEIGHT + middle // 2].reshape(-1, 2)[np.array(BARS) // 2].T
        return from_yuv(pixels[middle, BARS], u, v)
    if name in {"YUYV", "UYVY"}:
        pairs = pixels[middle].reshape(-1, 4)[np.array(BARS) // 2]
        y, u, v = (pairs[:, name.index(letter)] for letter in "YUV")
        return from_yuv(y, u, v)
    quads = [wide[middle : middle + 2, bar : bar + 2] >> depth for bar in BARS]
    return from_mosaic(name, np.array(quads))


@pytest.fixture
def bars(vivid):
    """The camera films eight colour bars, nothing moves."""
    vivid.control("-c", "test_pattern=1,osd_text_mode=2")
    return vivid


@pytest.mark.parametrize("name", [name for name in FOURCC if name not in NOT_OF_VIVID])
def test_a_format_is_captured_as_it_is(bars, name):
    found = reference(name, captured(bars.path, name))
    expected = COLOURS
    if name in {"GREY", "Y10", "Y12", "Y16"}:
        expected = np.repeat(COLOURS @ [[0.2126], [0.7152], [0.0722]], 3, 1)  # as vivid weighs
    assert np.abs(found - expected).max() <= 4


@pytest.mark.parametrize("name", [name for name in CODES if name not in NOT_OF_VIVID])
def test_a_format_is_judged_in_its_colours(bars, name):
    with Camera(f"{bars.path}?{SMALL}&format={name}") as camera:
        frame = next(camera.frames())
    assert frame.format is PixelFormat[name]
    assert frame.size == SIZE
    whole, out = Rect(0, 0, *SIZE), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    preprocess(frame.pixels, frame.format, Tile(whole, whole), out)
    expected = reference(name, captured(bars.path, name))
    assert np.abs(out[HEIGHT // 2, BARS] - expected).max() <= 3


@pytest.mark.parametrize("name", ["YUYV", "BGR", "GREY", "NV12", "Y10"])
def test_gaps_between_rows_are_honoured(bars, name):
    plain = captured(bars.path, name)
    stride = plain.strides[0] + 64
    code = FOURCC[name].decode()
    bars.control("-v", f"width={WIDTH},height={HEIGHT},pixelformat={code},bytesperline={stride}")
    assert np.array_equal(captured(bars.path, name, stride=stride), plain)


def test_the_size_is_the_one_that_the_driver_is_set_to(vivid):
    for size in ((320, 180), (640, 360)):
        vivid.control("-v", f"width={size[0]},height={size[1]}")
        with Camera(str(vivid.path)) as camera:
            frames = list(itertools.islice(camera.frames(), 3))
        assert {frame.size for frame in frames} == {size}
        assert len({frame.pixels.tobytes() for frame in frames}) == 3  # its clock runs


def test_a_format_that_cannot_be_judged_gives_way_to_the_best(vivid):
    vivid.control("-v", "width=320,height=180,pixelformat=NV61")
    with Camera(str(vivid.path)) as camera:
        frame = next(camera.frames())
    assert (frame.format, frame.size) == (PixelFormat.YUYV, SIZE)


def test_what_is_asked_for_is_got(vivid, capsys):
    uri = f"{vivid.path}?{FAST}&format=BGR&test_pattern=100%25+red&osd_text_mode=2&cpu=0"
    with Camera(uri) as camera:
        frames = list(itertools.islice(camera.frames(), 4))
    assert {(frame.format, frame.size) for frame in frames} == {(PixelFormat.BGR, SIZE)}
    assert np.array_equal(np.unique(frames[-1].pixels.reshape(-1, 3), axis=0), [[0, 0, 255]])
    assert "60.000" in vivid.control("--get-parm")
    assert capsys.readouterr().err == ""


def test_what_the_driver_gives_instead_is_said_once(vivid, capsys):
    with Camera(f"{vivid.path}?width=330&height=180&fps=14") as camera:
        assert next(camera.frames()).size == SIZE
    assert capsys.readouterr().err == (
        f"camera {vivid.path}: gives width=320, height=180, fps=15 where width=330, height=180, "
        "fps=14 was asked for\n"
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "format=HEIC",
            "format is 'HEIC', expected one that it gives and that can be judged: YUYV",
        ),
        ("exposur=4", "no control or setting is named 'exposur'; there are width, height, fps"),
        ("gain=256", "gain is '256', expected 0 to 255"),
        ("menu=2", "menu is '2', expected 1 (Menu Item 1), 3 (Menu Item 3), 4 (Menu Item 4)"),
        (
            "turn=1&width=320&height=180&crop=0,1,180,320",
            "crop is 0,1,180,320, expected x,y,width,height within its frames of 180x320",
        ),
        ("cpu=1000", "failed (the CPU of the thread: Invalid argument)"),
    ],
)
def test_what_cannot_be_set_is_said_with_what_can(vivid, asked, said):
    with pytest.raises(SourceError) as raised:
        Camera(f"{vivid.path}?{asked}")
    assert str(raised.value).startswith(f"--camera {vivid.path}: {said}")


def test_a_camera_that_hangs_on_its_side_is_judged_upright(bars):
    with Camera(f"{bars.path}?{SMALL}&format=BGR&turn=1&mirror=1") as camera:
        frame = next(camera.frames())
    assert frame.size == (HEIGHT, WIDTH)
    whole, out = Rect(0, 0, *frame.size), np.zeros((WIDTH, HEIGHT, 3), np.uint8)
    preprocess(frame.pixels, frame.format, Tile(whole, whole), out, turn=frame.turn)
    upright = captured(bars.path, "BGR")[..., ::-1]
    assert np.array_equal(out, np.rot90(upright, -1)[:, ::-1])


def test_of_a_turned_picture_a_crop_is_judged(bars):
    with Camera(f"{bars.path}?{SMALL}&format=BGR&turn=1&crop=7,40,160,200") as camera:
        picture = picture_of(next(camera.frames()))
    assert np.array_equal(picture, np.rot90(captured(bars.path, "BGR"), -1)[40:240, 7:167])


def test_controls_are_set_by_name_and_by_a_menus_words(vivid):
    with (
        Camera(f"{vivid.path}?brightness=7&menu=menu_item_4&contrast=0x10"),
        device(vivid.path) as fd,
    ):
        values = {name: control.value for name, control in controls_of(fd).items()}
    assert (values["brightness"], values["menu"], values["contrast"]) == (7, 4, 16)


def test_a_frame_that_is_kept_does_not_change(vivid):
    with Camera(f"{vivid.path}?{FAST}") as camera:
        frames = camera.frames()
        kept = next(frames)
        before = kept.pixels.copy()
        for _ in range(20):
            next(frames)
        assert np.array_equal(kept.pixels, before)
    del frames
    gc.collect()
    assert np.array_equal(kept.pixels, before)  # the camera is closed and gone, its memory is not
    assert not kept.pixels.flags.writeable


def test_frames_that_are_kept_hold_back_no_more_than_their_buffers(vivid):
    with Camera(f"{vivid.path}?{FAST}") as camera:
        frames = camera.frames()
        kept = [next(frames) for _ in range(4)]
        for _ in range(20):
            last = next(frames)
    assert last.seq >= 23
    assert len({frame.pixels.tobytes() for frame in kept}) == 4


def test_frames_that_were_passed_over_are_counted(vivid):
    with Camera(f"{vivid.path}?{FAST}") as camera:
        frames = camera.frames()
        first = next(frames)
        time.sleep(0.5)  # a slow judge
        second, third = next(frames), next(frames)
    assert second.dropped == second.seq - first.seq - 1 >= 10
    assert third.dropped == third.seq - second.seq - 1
    assert first.t_capture_ns < second.t_capture_ns < third.t_capture_ns


def test_what_the_driver_dropped_is_counted_too(vivid):
    vivid.control("-c", "percentage_of_dropped_buffers=50")
    with Camera(f"{vivid.path}?{FAST}") as camera:
        seqs, dropped = numbers(camera, 60)
    assert sum(dropped) == seqs[-1] - 59 > 5


def test_sequence_numbers_may_wrap(vivid):
    vivid.control("-c", "wrap_sequence_number=1,wrap_timestamp=1")
    with Camera(f"{vivid.path}?{FAST}") as camera:
        seqs, dropped = numbers(camera, 160)
    assert (seqs[0], dropped[0]) == (0, 0)
    assert sum(dropped) == seqs[-1] - 159 < 2000


def test_a_camera_can_be_opened_again(vivid):
    for _ in range(3):
        with Camera(f"{vivid.path}?{FAST}") as camera:
            assert next(camera.frames()).seq == 0


def test_two_cameras_at_once(vivid):
    if not vivid.second.exists():
        pytest.skip("needs two cameras: camera-vm --vivid n_devs=2")
    with contextlib.ExitStack() as stack:
        cameras = [
            stack.enter_context(Camera(f"{path}?{FAST}&test_pattern={colour}&osd_text_mode=2"))
            for path, colour in ((vivid.path, 5), (vivid.second, 6))
        ]
        streams = [camera.frames() for camera in cameras]
        for _ in range(30):
            black, white = (next(stream) for stream in streams)
    assert black.pixels[..., 0].max() <= 16
    assert white.pixels[..., 0].min() >= 234
    assert min(black.seq, white.seq) >= 29


def test_ten_frames_get_ten_verdicts(defectgate, plain_bundle, vivid):
    uri = f"{vivid.path}?{SMALL}&fps=10"
    done = defectgate("runtime", "--camera", uri, "--bundle", plain_bundle, "--frames", "10")
    assert (done.returncode, done.stderr) == (0, "")
    header, *verdicts, counts = lines_of(done.stdout)
    assert header["source"] == uri
    assert counts["samples"] == len(verdicts) == 10
    assert counts["UNKNOWN"] == 0
    assert counts["dropped"] == sum(line["dropped"] for line in verdicts)
    times = [line["t_capture_ns"] for line in verdicts]
    assert all(before < after for before, after in itertools.pairwise(times))
    names = [f"{vivid.path}#{line['seq']}" for line in verdicts]
    assert [line["source"] for line in verdicts] == names


def test_a_camera_that_is_taken_is_said_in_one_line(defectgate, plain_bundle, vivid):
    with Camera(str(vivid.path)):
        done = defectgate("runtime", "--camera", vivid.path, "--bundle", plain_bundle)
    assert (done.returncode, done.stdout) == (1, "")
    said = "is busy; close the program that has it"
    assert done.stderr == f"SourceError: --camera {vivid.path}: {said}\n"


@pytest.mark.usefixtures("vivid")
def test_a_missing_camera_is_said_in_one_line(defectgate, plain_bundle):
    done = defectgate("runtime", "--camera", "/dev/video7?gain=4", "--bundle", plain_bundle)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("SourceError: --camera /dev/video7?gain=4: no such camera")


def test_cameras_are_listed_with_the_best_setting(defectgate, vivid):
    done = defectgate("cameras", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = {camera["path"]: camera for camera in json.loads(done.stdout)}
    found = listed[str(vivid.path)]
    assert (found["card"], found["driver"]) == ("vivid", "vivid")
    assert {mode["format"] for mode in found["modes"]} == set(CODES) - NOT_OF_VIVID
    assert {"format": "GREY", "width": 640, "height": 360, "fps": 40.0} in found["modes"]
    assert "NV61" in found["not_judged"]
    assert "brightness" in {control["name"] for control in found["controls"]}
    assert found["best"] == f"{vivid.path}?format=YUYV&width=1280&height=720&fps=12.5"
    with Camera(found["best"]) as camera:
        assert next(camera.frames()).size == (1280, 720)
    shown = defectgate("cameras").stdout
    assert "640x360 40" in shown
    assert found["best"] in shown
    assert found["reason"] in shown


def test_a_capture_leaves_no_memory_behind(vivid):
    code = """
import os, resource, sys
from pathlib import Path
from runtime.camera import Camera
def opened():
    with Camera(sys.argv[1]) as camera:
        next(camera.frames())
def held():
    return int(Path("/proc/self/statm").read_text().split()[1]), len(os.listdir("/proc/self/fd"))
for _ in range(5):
    opened()
before = held()
for _ in range(30):
    opened()
print(held()[0] - before[0], held()[1] - before[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, f"{vivid.path}?{FAST}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    pages, files = map(int, done.stdout.split())
    assert files == 0
    assert pages < 50  # one buffer alone is 29
