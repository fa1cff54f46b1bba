"""What export writes: graphs that say what the network says, in the form each engine wants."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from exports import assert_refused, files_of, settings_of
from scipy.stats import binom

from calibration.settings import METHODS, CalibrationSettings, RangeMethod
from export.exporting import export
from export.float_onnx import float_onnx
from export.judging import Promise
from export.qdq import convolutions
from runtime.errors import CalibrationError, QualityError
from runtime.loop import run_source
from runtime.manifest import open_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.record import write_record
from runtime.spec import Limits
from train.checkpoint import load_model, load_record
from train.dataset import read_dataset
from train.division import divide_by_group
from train.scorecard import evaluate

FLOAT_FILES = {
    "manifest.json",
    "model.onnx",
    "splits.csv",
    "cpu/gate.onnx",
    "cpu/mask.onnx",
    "tensorrt/half/gate.onnx",
    "tensorrt/half/mask.onnx",
    "golden/verdicts.json",
}
INT8_FILES = FLOAT_FILES | {
    "calibration.json",
    "calibration.png",
    "scales.json",
    "calibration.cache",
    "parity.json",
    "report.html",
    *(f"tensorrt/{part}.onnx" for part in ("gate", "mask")),
    *(f"tensorrt/{kind}/{part}.onnx" for kind in ("typed", "float") for part in ("gate", "mask")),
}


@pytest.fixture(scope="module")
def calibrated(defectgate, float_bundle, visible_set, tmp_path_factory):
    """What `calibrate` makes of the float bundle with the images that `export` chose."""
    out = tmp_path_factory.mktemp("calibrated") / "calibration"
    done = defectgate(
        "calibrate", "--model", float_bundle, "--data", visible_set, "--out", out, "--images", 8
    )
    assert done.returncode == 0, done.stderr
    return out


def networks_of(*bundles):
    return {path: onnx.load(path) for bundle in bundles for path in bundle.rglob("*.onnx")}


def verdicts_of(bundle, images, out):
    run_source(open_bundle(bundle), str(images), out, None, None)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {line["source"]: line for line in lines if line["type"] == "verdict"}


def test_networks_are_opset_17_and_typed_ones_19(float_bundle, int8_bundle):
    networks = networks_of(float_bundle, int8_bundle)
    assert len(networks) == 16
    for path, model in networks.items():
        opset = 19 if path.parent.name in {"typed", "half"} else 17
        assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]


def test_there_is_no_padding_and_no_transposed_convolution(float_bundle, int8_bundle):
    for model in networks_of(float_bundle, int8_bundle).values():
        kinds = {node.op_type for node in model.graph.node}
        assert not {"Pad", "ConvTranspose"} & kinds
        assert "Conv" in kinds


def test_a_float_bundle_holds_no_int8(float_bundle):
    found = files_of(float_bundle).keys()
    assert {name for name in found if not name.endswith(".png")} == FLOAT_FILES
    for model in networks_of(float_bundle).values():
        kinds = {node.op_type for node in model.graph.node}
        assert not {"QuantizeLinear", "DequantizeLinear"} & kinds


def test_an_int8_bundle_holds_every_rendering(int8_bundle):
    found = files_of(int8_bundle).keys()
    pictures = {name for name in found if name.startswith("golden/") and name.endswith(".png")}
    assert found - pictures == INT8_FILES
    assert pictures


def test_a_bundle_says_what_each_rendering_cost(int8_bundle, visible_set):
    costs = json.loads((int8_bundle / "parity.json").read_bytes())["renderings"]
    assert set(costs) == {"cpu", "tensorrt", "tensorrt/typed"}
    val = {sample.name for sample in read_dataset(visible_set).split("val")}
    for cost in costs.values():
        assert cost["broken"] == []
        assert set(cost["flipped"]) <= val
    assert "other verdicts" in (int8_bundle / "report.html").read_text(encoding="utf-8")


def test_the_float16_rendering_is_typed_and_near_the_float_one(int8_bundle, six_images):
    exact, half = (
        OnnxEngine(folder / "gate.onnx", folder / "mask.onnx")
        for folder in (int8_bundle / "tensorrt/float", int8_bundle / "tensorrt/half")
    )
    scores, skips = exact.gate(six_images)
    half_scores, half_skips = half.gate(six_images)
    assert {skip.dtype for skip in half_skips.values()} == {np.dtype(np.float16)}
    np.testing.assert_allclose(half_scores, scores, rtol=0, atol=0.02)
    apart = np.abs(half.mask(half_skips, 0).astype(int) - exact.mask(skips, 0))
    assert apart.mean() < 1


def test_the_same_model_gives_the_same_float_network(float_bundle, int8_bundle):
    assert files_of(float_bundle)["model.onnx"] == files_of(int8_bundle)["model.onnx"]


def test_the_manifest_says_where_the_bundle_comes_from(trained_run, float_bundle, int8_bundle):
    record = load_record(trained_run)
    for bundle in (float_bundle, int8_bundle):
        manifest = open_bundle(bundle).manifest
        weights = (trained_run / "model.safetensors").read_bytes()
        assert manifest.provenance.model_sha256 == hashlib.sha256(weights).hexdigest()
        assert manifest.provenance.data_digest == record.data_digest
        expected = {k: v for k, v in record.settings.items() if k not in {"data", "out"}}
        assert manifest.provenance.settings == expected  # no paths of this machine
        assert manifest.input == record.input
    assert open_bundle(float_bundle).manifest.mm_per_pixel == 0.05
    assert open_bundle(int8_bundle).manifest.mm_per_pixel is None


@pytest.mark.parametrize("name", ["float_bundle", "int8_bundle"])
def test_the_manifest_has_the_numbers_that_evaluate_finds(request, visible_set, name):
    bundle = request.getfixturevalue(name)
    manifest = open_bundle(bundle).manifest
    found = evaluate(bundle, visible_set, "val", None, None)
    assert manifest.metrics[manifest.precision] == pytest.approx(found)
    assert set(manifest.metrics) == {"float", manifest.precision}


@pytest.mark.parametrize("name", ["float_bundle", "int8_bundle"])
def test_golden_images_get_their_verdicts_again(request, tmp_path, name):
    golden = request.getfixturevalue(name) / "golden"
    expected = json.loads((golden / "verdicts.json").read_bytes())["images"]
    found = verdicts_of(golden.parent, golden, tmp_path / "lines")
    assert {image["verdict"] for image in expected} == {"NG", "OK"}
    assert {i["file"]: (i["verdict"], i["score"]) for i in expected} == {
        source: (line["verdict"], line["score"]) for source, line in found.items()
    }


def test_defects_are_measured_in_mm_where_the_bundle_knows_a_pixel(
    float_bundle, int8_bundle, tmp_path
):
    found = verdicts_of(float_bundle, float_bundle / "golden", tmp_path / "mm")
    defects = [defect for line in found.values() for defect in line["defects"]]
    assert defects
    for defect in defects:
        assert defect["length_mm"] == pytest.approx(0.05 * defect["length_px"], rel=1e-3)
        assert defect["area_mm2"] == pytest.approx(0.0025 * defect["area_px"], rel=1e-3)
    found = verdicts_of(int8_bundle, int8_bundle / "golden", tmp_path / "px")
    assert not any("length_mm" in defect for line in found.values() for defect in line["defects"])


def test_a_promise_is_kept_on_the_samples_that_chose_nothing(trained_run, visible_set, tmp_path):
    wanted = settings_of(trained_run, tmp_path / "bundle", promise=Promise(0.5, 0.8, 0.3))
    manifest = export(wanted)
    promise, threshold = manifest.guarantee, manifest.limits.threshold
    found = verdicts_of(wanted.out, visible_set / "images" / "val", tmp_path / "lines")
    _, deciding = divide_by_group(read_dataset(visible_set).split("val"))
    worst = {}
    for sample in deciding:
        if sample.defective:
            score = found[sample.image.name]["score"]
            worst[sample.group] = min(score, worst.get(sample.group, 1.0))
    good = [found[s.image.name]["verdict"] for s in deciding if not s.defective]
    assert good.count("REVIEW") <= 0.3 * len(good)
    assert "NG" not in good or manifest.limits.review_below > threshold
    scores = np.array(sorted(worst.values()))
    assert (promise.max_miss_rate, promise.confidence) == (0.5, 0.8)
    assert promise.n_objects == len(scores)
    assert promise.rendering == "each"
    assert promise.n_missed >= np.sum(scores < threshold)
    assert binom.cdf(promise.n_missed, len(scores), 0.5) <= 0.2
    assert open_bundle(wanted.out).manifest == replace(
        manifest, files=open_bundle(wanted.out).manifest.files
    )


def test_the_half_that_proves_has_no_say_in_the_masks_limits(trained_run, tmp_path, monkeypatch):
    seen = []

    def choose(_inspector, samples, _spec, threshold):
        seen.append({sample.group for sample in samples})
        return Limits(threshold, 0.9, 1.0)

    monkeypatch.setattr("export.judging.choose_mask_limits", choose)
    promised = export(settings_of(trained_run, tmp_path / "one", promise=Promise(0.5, 0.8)))
    record = load_record(trained_run)
    choosing, deciding = divide_by_group(read_dataset(record.data).split("val"))
    assert seen == [{sample.group for sample in choosing}]
    assert seen[0].isdisjoint(sample.group for sample in deciding)
    assert (promised.limits.mask_threshold, bool(promised.guarantee)) == (0.9, True)
    unproven = export(settings_of(trained_run, tmp_path / "other"))
    assert len(seen) == 1
    assert unproven.limits.mask_threshold == record.limits.mask_threshold


def test_calibrating_apart_gives_the_same_bundle(
    defectgate, trained_run, int8_bundle, calibrated, tmp_path
):
    done = defectgate(
        *("export", "--model", trained_run, "--out", tmp_path / "bundle", "--int8"),
        *("--calibration", calibrated),
    )
    assert done.returncode == 0, done.stderr
    found, expected = files_of(tmp_path / "bundle"), files_of(int8_bundle)
    assert found == expected
    for name in ("scales.json", "calibration.json", "calibration.png"):
        assert (calibrated / name).read_bytes() == expected[name]


def test_the_ranges_that_lose_least_are_taken(trained_run, tmp_path, monkeypatch):
    class TakenError(Exception):
        """Where the export ends here."""

    def take(_root, calibration, *_):
        raise TakenError(calibration.scales.method.value)

    losses = []
    monkeypatch.setattr("export.exporting._write_int8", take)
    monkeypatch.setattr("export.exporting.least_loss", lambda r: losses.extend(r) or 1)
    monkeypatch.setattr("export.exporting.METHODS", METHODS[:2])  # the third takes two minutes
    auto = CalibrationSettings(images=8, method=RangeMethod.AUTO)
    with pytest.raises(TakenError, match="percentile"):
        export(settings_of(trained_run, tmp_path / "bundle", int8=True, calibrate=auto))
    assert len({tuple(rendering.losses.values()) for rendering in losses}) == 2
    assert list(tmp_path.iterdir()) == []


def spoiled(calibrated, folder, name, change):
    shutil.copytree(calibrated, folder)
    content = json.loads((folder / name).read_bytes())
    del content["sha256"]
    change(content)
    write_record(folder / name, content)
    return folder


def narrowed(calibrated, folder, concerned):
    """The calibration with the ranges of the tensors that are `concerned` a hundredth as wide."""

    def narrow(content):
        for name, (low, high) in content["ranges"].items():
            if concerned(name):
                content["ranges"][name] = low / 100, high / 100

    return spoiled(calibrated, folder, "scales.json", narrow)


def first_harm_first(monkeypatch, *first):
    """The layers that are called harmful: these first. The measured ones take a minute."""

    def harms(quantizer, kind):
        del kind
        others = [name for name in convolutions(quantizer.model) if name not in first]
        return dict.fromkeys([*first, *others], 0.1)

    monkeypatch.setattr("export.renderings.Quantizer.harms", harms)


def test_int8_that_lost_too_much_is_refused_with_a_report_and_no_bundle(
    trained_run, calibrated, tmp_path, monkeypatch
):
    first_harm_first(monkeypatch)
    ruined = narrowed(calibrated, tmp_path / "ruined", lambda _: True)
    wanted = settings_of(trained_run, tmp_path / "out" / "bundle", int8=True, calibration=ruined)
    with pytest.raises(QualityError) as caught:
        export(wanted)
    assert caught.value.exit_status == 3
    refused = wanted.out.with_name("bundle.refused")
    assert re.match(
        r"cpu: INT8 loses too much on validation, even with \d+ layers in float: .* fell by .*; no "
        rf"bundle written, see {refused}/report.html; try more --images",
        str(caught.value),
    )
    assert sorted(wanted.out.parent.iterdir()) == [refused]
    assert files_of(refused).keys() == {"report.html", "parity.json"}
    parity = json.loads((refused / "parity.json").read_bytes())
    assert parity["renderings"]["cpu"]["broken"]
    assert "fell by" in (refused / "report.html").read_text(encoding="utf-8")


def test_a_harmful_layer_goes_back_to_float(trained_run, calibrated, tmp_path, monkeypatch):
    harmful = "/decoder/draw/Conv"
    first_harm_first(monkeypatch, harmful)
    network, record = load_model(trained_run)
    model = float_onnx(network, record.input)
    read = next(node for node in model.graph.node if node.name == harmful).input[0]
    spoilt = narrowed(calibrated, tmp_path / "spoilt", lambda name: name == read)
    wanted = settings_of(trained_run, tmp_path / "out" / "bundle", int8=True, calibration=spoilt)
    export(wanted)
    parity = json.loads((wanted.out / "parity.json").read_bytes())["renderings"]
    assert parity["tensorrt"]["float_layers"][:1] == [harmful]
    assert parity["tensorrt"]["broken"] == []
    assert harmful in (wanted.out / "report.html").read_text(encoding="utf-8")


def test_a_calibration_of_another_model_is_refused(trained_run, calibrated, tmp_path):
    other = spoiled(
        calibrated, tmp_path / "other", "scales.json", lambda c: c.update(model_sha256="f" * 64)
    )
    wanted = settings_of(trained_run, tmp_path / "out" / "bundle", int8=True, calibration=other)
    assert_refused(CalibrationError, "scales.json: model_sha256 is ffffffffffff", wanted)


def test_a_calibration_of_other_data_is_refused(trained_run, calibrated, tmp_path):
    other = spoiled(
        calibrated, tmp_path / "other", "calibration.json", lambda c: c.update(data_digest="0" * 64)
    )
    wanted = settings_of(trained_run, tmp_path / "out" / "bundle", int8=True, calibration=other)
    assert_refused(CalibrationError, "calibration.json: data_digest is 000000000000", wanted)
