"""`build` against the strict stand-in for TensorRT: what is built, kept, stored and loaded."""

import json
import shutil

import pytest

from export.building import BuildSettings, build
from export.plan import Precision, recipes, release_of
from runtime.engines import engine_of
from runtime.errors import EngineError, QualityError
from runtime.golden import check_golden
from runtime.gpu import this_device
from runtime.inspection import Inspector
from runtime.loop import inspector_of_bundle
from runtime.manifest import open_bundle
from runtime.plans import find_plans
from runtime.settings import EngineKind
from runtime.sources import open_source

RELEASES = ["8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106"]


@pytest.fixture(scope="module")
def bundle(int8_bundle):
    return open_bundle(int8_bundle)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("export.building.WARM_UP_S", 0.0)
    monkeypatch.setattr("export.building.TIMED_S", 0.0)


def plans_of(bundle, engines):
    return find_plans(engines, bundle.sha256, this_device(), "build it")


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_a_thousand_frames_get_the_verdicts_of_onnxruntime(
    simulated, bundle, visible_set, tmp_path, release
):
    """Build, load, self-test, run: the same rendering in onnxruntime is the reference."""
    trt = simulated(release)
    build(bundle, BuildSettings(tmp_path, "int8"))
    chosen = engine_of(bundle, EngineKind.AUTO, tmp_path)
    assert chosen.engine.name == f"tensorrt {release} int8"
    manifest = bundle.manifest
    tested = Inspector(chosen.engine, manifest.input, manifest.limits, manifest.class_names)
    assert check_golden(bundle, tested).verdicts.total() > 0
    reference = inspector_of_bundle(bundle, rendering_in_onnxruntime(bundle, release))
    with open_source(str(visible_set / "images" / "test"), 1) as source:
        frames = list(source)
    expected = [said(reference.inspect(frame)) for frame in frames]
    assert {answer for answer, *_ in expected} == {"OK", "NG"}
    for number in range(1000):
        which = number % len(frames)
        assert said(tested.inspect(frames[which])) == expected[which]
    chosen.engine.close()
    assert trt.misuse() is None
    assert trt.driver.library.standin_blocks() == 0


def rendering_in_onnxruntime(bundle, release):
    from runtime.onnx_engine import OnnxEngine

    typed = release_of(release) >= (10, 12)
    folder = bundle.root / ("tensorrt/typed" if typed else "tensorrt")
    return OnnxEngine(folder / "gate.onnx", folder / "mask.onnx", 1, fused=not typed)


def said(inspection):
    verdict = inspection.verdict
    return verdict.verdict.value, verdict.score, verdict.defects


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("8.6.1", ["fp16 float weak", "int8 tensorrt weak", "implicit-int8 float weak"]),
        ("10.3.0", ["fp16 float weak", "int8 tensorrt weak", "implicit-int8 float weak"]),
        ("10.13.3.9", ["fp16 half typed", "int8 typed typed", "implicit-int8 float weak"]),
        ("11.4.0.106", ["fp16 half typed", "int8 typed typed"]),
    ],
)
def test_each_release_gets_the_rendering_that_it_takes(bundle, release, expected):
    found = recipes(bundle, release_of(release), None)
    assert [
        f"{r.precision.value} {r.folder.name} {'typed' if r.typed else 'weak'}" for r in found
    ] == expected
    on_dla = recipes(bundle, release_of(release), 0)
    assert Precision.INT8 not in {recipe.precision for recipe in on_dla}


@pytest.mark.parametrize("release", RELEASES)
def test_everything_is_built_and_the_fastest_kept(simulated, bundle, tmp_path, release):
    simulated(release)
    folder = build(bundle, BuildSettings(tmp_path))
    record = plans_of(bundle, tmp_path).record
    tried = {c.precision: c for c in record.candidates}
    assert set(tried) == {r.precision.value for r in recipes(bundle, release_of(release), None)}
    assert not [c.refused for c in record.candidates if c.refused]
    frame = {name: c.gate_ms + 0.05 * c.mask_ms for name, c in tried.items()}
    assert record.precision == min(frame, key=frame.get)
    assert {path.name for path in folder.iterdir()} == {
        *("gate.plan", "mask.plan", "gate.layers.json", "mask.layers.json", "plans.json")
    }
    assert json.loads((folder / "gate.layers.json").read_bytes())["Layers"][0]["Name"]
    assert list(tmp_path.glob("timing-*.cache"))


def test_a_float_bundle_is_built_in_float16(simulated, float_bundle, tmp_path):
    bundle = open_bundle(float_bundle)
    for release in ("10.3.0", "11.4.0.106"):
        simulated(release)
        build(bundle, BuildSettings(tmp_path))
        assert plans_of(bundle, tmp_path).record.precision == "fp16"
        engine_of(bundle, EngineKind.TENSORRT, tmp_path).engine.close()
    simulated("10.3.0")
    with pytest.raises(EngineError, match=r"--precision int8: of .* can build fp16 here"):
        build(bundle, BuildSettings(tmp_path, "int8"))


def test_a_dla_takes_implicit_int8_and_fixed_shapes(simulated, bundle, six_images, tmp_path):
    trt = simulated("10.3.0")
    build(bundle, BuildSettings(tmp_path, dla_core=1))
    record = plans_of(bundle, tmp_path).record
    assert {c.precision for c in record.candidates} == {"fp16", "implicit-int8"}
    chosen = engine_of(bundle, EngineKind.AUTO, tmp_path)
    assert chosen.engine.name.endswith(" dla 1")
    chosen.engine.close()
    build(bundle, BuildSettings(tmp_path, dla_core=1, tiles=3))
    engine = engine_of(bundle, EngineKind.AUTO, tmp_path).engine
    three, _ = engine.gate(six_images[:3])
    one, skips = engine.gate(six_images[2:3])  # a batch of three, of which one counts
    assert one == three[2]
    assert engine.mask(skips, 0).any()
    engine.close()
    with pytest.raises(EngineError, match=r"no precision can be used here.*--dla-core 2: this dev"):
        build(bundle, BuildSettings(tmp_path, dla_core=2))
    assert trt.misuse() is None


def test_a_builder_that_fails_leaves_the_other_precisions(simulated, bundle, tmp_path, monkeypatch):
    simulated("10.3.0")
    monkeypatch.setenv("SIMULATED_BUILDER_FAULT", "INT8")
    build(bundle, BuildSettings(tmp_path))
    record = plans_of(bundle, tmp_path).record
    refused = {c.precision: c.refused for c in record.candidates}
    assert record.precision == "fp16"
    assert refused["fp16"] is None
    assert "TensorRT cannot build it ([builder] simulated: out of memory" in refused["int8"]
    monkeypatch.setenv("SIMULATED_BUILDER_FAULT", "FP16")
    with pytest.raises(EngineError, match=r"no precision can be used here: fp16: .*gate.onnx"):
        build(bundle, BuildSettings(tmp_path))
    assert plans_of(bundle, tmp_path).record == record  # the older plans stay
    monkeypatch.delenv("SIMULATED_BUILDER_FAULT")
    build(bundle, BuildSettings(tmp_path))
    assert plans_of(bundle, tmp_path).record != record


def test_a_plan_with_other_verdicts_is_refused(simulated, bundle, tmp_path, monkeypatch):
    simulated("10.3.0")
    monkeypatch.setenv("SIMULATED_POISON", "1.0")
    with pytest.raises(QualityError, match=r"tensorrt 10.3.0 int8 does not compute"):
        build(bundle, BuildSettings(tmp_path, "int8"))
    assert not list(tmp_path.rglob("*.plan"))


def test_a_network_that_is_no_onnx_is_named(simulated, int8_bundle, tmp_path):
    from runtime.manifest import seal_bundle

    spoiled = shutil.copytree(int8_bundle, tmp_path / "bundle")
    manifest = open_bundle(spoiled).manifest
    (spoiled / "tensorrt" / "gate.onnx").write_bytes(b"no network")
    seal_bundle(spoiled, manifest)
    simulated("10.3.0")
    with pytest.raises(EngineError, match=r"tensorrt/gate.onnx: TensorRT cannot parse it \(") as no:
        build(open_bundle(spoiled), BuildSettings(tmp_path / "engines", "int8"))
    assert "\n" not in str(no.value)
