"""`record`: what a source shows, as images to train on."""

import re

import cv2
import numpy as np

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
    (tmp_path / "c.png").write_bytes(b"no image")
    done = defectgate("record", "--camera", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    *_, said = done.stderr.splitlines()
    assert said == f"SourceError: --camera {tmp_path}: gave no frame that can be saved"
    assert not (tmp_path / "out").exists()


def test_no_more_are_saved_than_asked_for(defectgate, tmp_path):
    draw(tmp_path / "seen", "a.png", "b.png", "c.png")
    for number in (1, 2):
        done = defectgate(
            *("record", "--camera", tmp_path / "seen", "--out", tmp_path / "out", "--frames", "2")
        )
        assert done.returncode == 0
        assert len(list((tmp_path / "out").iterdir())) == 2 * number  # and none is lost
