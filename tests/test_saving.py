"""What a run leaves on the disk: lines, pictures, masks, and the counts of what was lost."""

import json
import re

import cv2
import numpy as np
import pytest
from loops import grey, lines_of, run
from pycocotools import mask as coco

from runtime.errors import DataError
from runtime.loop import run_source
from runtime.manifest import open_bundle


@pytest.fixture(scope="module")
def images(visible_set):
    return visible_set / "images" / "test"


def test_an_output_that_cannot_be_written_is_said(int8_bundle, images, tmp_path):
    (tmp_path / "file").write_text("is no folder", encoding="utf-8")
    for out in ("/dev/full", tmp_path / "file" / "lines"):
        with pytest.raises(DataError, match=f"--out {out}: cannot be written"):
            run(int8_bundle, images, type(tmp_path)(out))
    with pytest.raises(DataError, match=f"--save-overlays {tmp_path / 'file'}: "):
        run(int8_bundle, images, tmp_path / "lines", overlays=tmp_path / "file")
    assert not (tmp_path / "lines").exists()


def test_pictures_that_were_lost_are_counted_in_the_last_line(int8_bundle, images, tmp_path):
    overlays = tmp_path / "pictures"
    *_, counts = run(int8_bundle, images, tmp_path / "lines", overlays)
    assert counts["pictures_lost"] == 0
    *_, counts = run(int8_bundle, images, tmp_path / "lines")
    assert "pictures_lost" not in counts


def test_a_picture_that_is_lost_fails_the_run_after_its_counts(
    int8_bundle, images, tmp_path, monkeypatch
):
    def full(_):
        raise DataError("the disk is full")

    monkeypatch.setattr("runtime.sinks.require_room", full)
    out = tmp_path / "lines"
    with pytest.raises(DataError, match="pictures were lost: the disk is full"):
        run_source(open_bundle(int8_bundle), str(images), out, tmp_path / "pictures")
    *_, counts = lines_of(out)
    assert counts["pictures_lost"] == counts["NG"] > 0


def test_every_ng_sample_has_its_picture_and_no_ok_sample(int8_bundle, images, tmp_path):
    overlays = tmp_path / "pictures" / "of" / "today"
    header, verdicts, counts = run(int8_bundle, images, tmp_path / "lines", overlays)
    begun = re.sub(r"\+.*|\W", "", header["begun"])
    seqs = [f"{line['seq']:06d}" for line in verdicts if line["verdict"] == "NG"]
    expected = {f"{begun}-{seq}.png" for seq in seqs}
    assert {path.name for path in overlays.iterdir()} == expected
    assert len(expected) == counts["NG"]
    (still,) = grey(sorted(images.iterdir())[int(min(seqs))])
    picture = cv2.imread(str(overlays / min(expected)))
    assert picture.shape == (96 + 22, 96, 3)  # a caption on top
    untouched = np.all(picture[22:] == still[..., None], axis=2)
    assert 0.3 < untouched.mean() < 1
    run(int8_bundle, images, tmp_path / "lines", overlays)
    assert expected < {path.name for path in overlays.iterdir()}  # a restart loses none


def test_the_masks_are_in_the_lines_where_asked_for(defectgate, int8_bundle, images):
    done = defectgate("runtime", "--camera", images, "--bundle", int8_bundle, "--rle")
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()[1:-1]]
    drawn = [line for line in verdicts if line["defects"]]
    assert drawn
    assert [line["seq"] for line in verdicts if "masks" in line] == [
        line["seq"] for line in verdicts if line["verdict"] == "NG"
    ]
    for line in drawn:
        (mask,) = line["masks"]
        share = coco.area({"size": mask["size"], "counts": mask["counts"]}) / np.prod(mask["size"])
        area_px = sum(defect["area_px"] for defect in line["defects"])
        assert share * 96 * 96 == pytest.approx(area_px, abs=0.1)


def test_no_picture_comes_among_the_images(int8_bundle, images, tmp_path):
    (tmp_path / "link").symlink_to(images)
    for overlays in (images, images / "rejected", tmp_path / "link" / "rejected"):
        with pytest.raises(
            DataError, match=rf"--save-overlays {overlays}: lies in {images}, which"
        ):
            run(int8_bundle, images, tmp_path / "lines", overlays)
    assert not (images / "rejected").exists()
    assert not (tmp_path / "lines").exists()
