"""Frames from files: what cannot be read is said, and never ends what follows it."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.images import write_png
from runtime.sources import open_source, say_what_lies_below

PICTURE = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)


def frames_of(uri):
    with open_source(str(uri), 1) as frames:
        return list(frames)


def write_video(path, count=40):
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(count):
        video.write(cv2.cvtColor(PICTURE, cv2.COLOR_GRAY2BGR))
    video.release()


def test_an_image_that_claims_too_many_pixels_ends_nothing(tmp_path):
    for name in ("a", "b", "c"):
        write_png(tmp_path / f"{name}.png", PICTURE)
    data = bytearray((tmp_path / "b.png").read_bytes())
    data[16:24] = 2 * (70_000).to_bytes(4, "big")
    (tmp_path / "b.png").write_bytes(data)
    found = [(frame.source, frame.fault is None) for frame in frames_of(tmp_path)]
    assert found == [("a.png", True), ("b.png", False), ("c.png", True)]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_an_image_of_more_than_8_bits_is_a_fault(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), 16 * PICTURE.astype(np.uint16))
    (frame,) = frames_of(tmp_path)
    assert "has more than 8 bits a channel" in frame.fault


def test_a_jpeg_that_windows_saved_is_an_image(tmp_path):
    (tmp_path / "a.JFIF").write_bytes(cv2.imencode(".jpg", PICTURE)[1].tobytes())
    (frame,) = frames_of(tmp_path)
    assert frame.fault is None


def test_a_name_in_another_encoding_is_told_in_utf8(tmp_path):
    write_png(tmp_path / os.fsdecode(b"gr\xfc\xdfe.png"), PICTURE)
    (tmp_path / os.fsdecode(b"lee\xdf.png")).touch()
    whole, empty = frames_of(tmp_path)
    assert (whole.source, empty.source) == (r"gr\xfc\xdfe.png", r"lee\xdf.png")
    assert rf"{tmp_path}/lee\xdf.png: is not a readable image" in empty.fault


def test_a_whole_video_gives_every_frame(tmp_path):
    write_video(tmp_path / "line.avi")
    assert [frame.seq for frame in frames_of(tmp_path / "line.avi")] == list(range(40))


def test_a_video_that_ends_early_is_said(tmp_path, capsys):
    write_video(tmp_path / "line.avi")
    assert len(frames_of(tmp_path / "line.avi")) == 40
    assert capsys.readouterr().err == ""
    data = (tmp_path / "line.avi").read_bytes()
    (tmp_path / "line.avi").write_bytes(data[: len(data) // 2])
    seen = len(frames_of(tmp_path / "line.avi"))
    assert 10 <= seen < 30
    assert f"line.avi: ended after {seen} of 40 frames; some were" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["tif", "png", "webp"])
def test_an_image_of_several_pictures_is_a_fault(tmp_path, suffix):
    one, *rest = (Image.fromarray(PICTURE + number) for number in range(3))
    one.save(tmp_path / f"a.{suffix}", save_all=True, append_images=rest)
    one.save(tmp_path / os.fsdecode(f"gr\xf6\xdfe.{suffix}".encode("latin-1")))
    several, alone = frames_of(tmp_path)
    assert f"a.{suffix}: holds 3 pictures, of which only the first would be seen" in several.fault
    assert alone.fault is None


def test_what_lies_below_a_folder_is_said(tmp_path, capsys):
    for name in ("a", "of today/b", "of today/deep/c", "of today/.d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_png(tmp_path / f"{name}.png", PICTURE)
    say_what_lies_below(str(tmp_path / "of today/deep"))
    say_what_lies_below(str(tmp_path / "a.png"))
    assert capsys.readouterr().err == ""
    say_what_lies_below(str(tmp_path))
    assert f"{tmp_path}: 2 images in folders below it are not judged" in capsys.readouterr().err
