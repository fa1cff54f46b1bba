"""`verify`: the files of a bundle and its golden verdicts; `inspect`: what it says of itself."""

import io
import json
import shutil
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from runtime.errors import GpuLostError, QualityError
from runtime.golden import check_golden
from runtime.loop import inspector_of_bundle
from runtime.manifest import MANIFEST, Guarantee, Manifest, open_bundle, seal_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.record import write_record
from runtime.summary import summary_of


@pytest.fixture
def bundle(int8_bundle, tmp_path):
    """A copy of the INT8 bundle, to be spoiled."""
    return shutil.copytree(int8_bundle, tmp_path / "bundle")


def change_verdicts(bundle, change):
    """Rewrite the golden verdicts, and seal the bundle again."""
    path = bundle / "golden" / "verdicts.json"
    content = json.loads(path.read_bytes())
    del content["sha256"]
    change(content["images"])
    write_record(path, content)
    seal_bundle(bundle, open_manifest(bundle))


def open_manifest(bundle):
    """The manifest, whatever became of the files."""
    content = json.loads((bundle / MANIFEST).read_bytes())
    del content["sha256"]
    return msgspec.convert(content, Manifest)


def test_a_bundle_as_it_was_made_is_verified(defectgate, int8_bundle):
    done = defectgate("verify", int8_bundle)
    assert done.returncode == 0, done.stderr
    n_files = len(open_bundle(int8_bundle).manifest.files)
    images = json.loads((int8_bundle / "golden/verdicts.json").read_bytes())["images"]
    n_defective = sum(image["verdict"] == "NG" for image in images)
    assert 0 < n_defective < len(images)
    assert f"{int8_bundle}: {n_files} files as they were sealed\n" in done.stdout
    assert f"makes one: {n_defective} NG, {len(images) - n_defective} OK; scores" in done.stdout
    assert "scores off by 0.0000 at most, their masks' mean IoU by" in done.stdout


def test_another_verdict_is_refused_with_status_3(defectgate, bundle):
    def turn(images):
        images[0]["verdict"] = "OK" if images[0]["verdict"] == "NG" else "NG"

    change_verdicts(bundle, turn)
    done = defectgate("verify", bundle)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"QualityError: {bundle}/golden/00.png: got NG, score " in line
    assert "expected OK, score " in line


def test_golden_images_of_which_none_is_defective_are_refused(defectgate, bundle):
    def keep_good(images):
        images[:] = [image for image in images if image["verdict"] == "OK"]

    change_verdicts(bundle, keep_good)
    done = defectgate("verify", bundle)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "golden: no golden image opens the gate, so an engine that finds nothing would" in line


def test_scores_that_moved_are_told(defectgate, bundle):
    change_verdicts(bundle, lambda images: images[0].update(score=images[0]["score"] - 0.25))
    done = defectgate("verify", bundle)
    assert done.returncode == 0, done.stderr
    assert "scores off by 0.2500 at most" in done.stdout


@pytest.mark.parametrize(("fall", "status"), [(0.06, 3), (0.04, 0)])
def test_masks_that_are_worse_are_refused(defectgate, bundle, fall, status):
    def better_before(images):
        with_truth = [image for image in images if image["truth"]]
        assert {image["verdict"] for image in with_truth} == {"NG"}
        for image in with_truth:
            assert 0 < image["iou"] < 1
            image["iou"] += fall

    change_verdicts(bundle, better_before)
    done = defectgate("verify", bundle)
    assert done.returncode == status
    if status:
        assert f"{bundle}/golden: the masks' mean IoU fell by 0.060, limit 0.05: " in done.stderr
    else:
        assert "their masks' mean IoU by -0.0400" in done.stdout


def test_a_mask_head_that_draws_nothing_is_refused(bundle):
    class Blank(OnnxEngine):
        def mask(self, skips, tile):
            return super().mask(skips, tile) * 0

    opened = open_bundle(bundle)
    blank = Blank(bundle / "cpu/gate.onnx", bundle / "cpu/mask.onnx")
    with pytest.raises(QualityError, match=r"does not draw what the bundle was proven with"):
        check_golden(opened, inspector_of_bundle(opened, blank))


def test_a_device_that_fails_is_no_matter_of_quality(bundle):
    class Lost(OnnxEngine):
        def gate(self, _):
            raise GpuLostError("start it again")

    opened = open_bundle(bundle)
    lost = Lost(bundle / "cpu/gate.onnx", bundle / "cpu/mask.onnx")
    with pytest.raises(GpuLostError, match="start it again"):
        check_golden(opened, inspector_of_bundle(opened, lost))


def test_a_changed_file_is_named(defectgate, bundle):
    path = bundle / "tensorrt" / "typed" / "gate.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    done = defectgate("verify", bundle)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ManifestError: {path}: sha256 is ")


def test_inspect_says_what_the_bundle_is(defectgate, int8_bundle):
    done = defectgate("inspect", int8_bundle, env={"COLUMNS": "200", "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    lines = {line[:24].strip(): line[24:].strip() for line in done.stdout.splitlines()}
    manifest = open_bundle(int8_bundle).manifest
    assert lines["precision"] == "int8"
    assert lines["input"] == "64x64, grey, stretch, taught on frames of 96x96"
    assert lines["promise"] == "none"
    assert lines["gate"] == f"opens at {manifest.limits.threshold:.4f}"
    millions = manifest.work["gate"].multiply_adds / 1e6
    assert lines["work of the gate"].startswith(f"{millions:.0f} M multiply-adds, ")
    assert "with 5% of frames open" in lines["share of the mask"]
    assert float(lines["size of all"].split()[0]) > float(lines["size of cpu"].split()[0]) > 1


def test_a_promise_with_each_rendering_is_said_to_be_of_each_by_itself(int8_bundle):
    bundle = open_bundle(int8_bundle)
    for rendering, said in (("cpu", "cpu rendering"), ("each", "each rendering, taken by itself")):
        promised = replace(bundle.manifest, guarantee=Guarantee(0.05, 0.95, 60, 0, rendering))
        console = Console(width=400, file=io.StringIO())
        console.print(summary_of(replace(bundle, manifest=promised)))
        lines = map(str.strip, console.file.getvalue().splitlines())
        (line,) = [line for line in lines if line.startswith("promise")]
        assert line.endswith(f"proven on 60, 0 missed, with {said}")


def test_inspect_shows_names_as_they_are(defectgate, int8_bundle, tmp_path):
    odd = shutil.copytree(int8_bundle, tmp_path / "[v1]" / "[" / "old]")
    done = defectgate("inspect", odd, env={"COLUMNS": "200", "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    assert str(odd) in done.stdout
