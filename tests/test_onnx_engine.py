"""The engine over onnxruntime: the two networks together are the whole one, tile by tile."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import runtime.onnx_engine
from runtime.engines import say_where_int8_is_slow
from runtime.errors import EngineError
from runtime.manifest import open_bundle
from runtime.onnx_engine import OnnxEngine

SKIPS = ["skip_1", "skip_2", "skip_3", "skip_4", "skip_5"]
RENDERINGS = ["float", "cpu", "tensorrt"]
READABLE = {"float": 17, "cpu": 19, "tensorrt": 19}  # onnx's own reference knows Q/DQ from 19 on


@pytest.fixture(scope="module")
def folders(float_bundle, int8_bundle):
    return {
        "float": float_bundle / "cpu",
        "cpu": int8_bundle / "cpu",
        "tensorrt": int8_bundle / "tensorrt",
    }


@pytest.fixture(scope="module")
def engines(folders):
    return {name: engine_of(folder) for name, folder in folders.items()}


def engine_of(folder, **options):
    return OnnxEngine(folder / "gate.onnx", folder / "mask.onnx", **options)


def judged(engine, batch):
    scores, skips = engine.gate(batch)
    return scores, np.stack([engine.mask(skips, tile) for tile in range(len(batch))])


def whole(bundle, batch):
    session = onnxruntime.InferenceSession(
        bundle / "model.onnx", providers=["CPUExecutionProvider"]
    )
    return session.run(["score", "mask"], {"image": batch})


def reference(folder, name, batch):
    """What onnx's own evaluator, numpy alone, makes of the gate: tensors by name."""
    model = onnx.load(folder / "gate.onnx")
    model.opset_import[0].version = READABLE[name]
    outputs = [output.name for output in model.graph.output]
    return dict(zip(outputs, ReferenceEvaluator(model).run(None, {"image": batch}), strict=True))


def test_gate_and_mask_are_the_whole_network(engines, float_bundle, six_images):
    scores, masks = judged(engines["float"], six_images)
    whole_scores, whole_masks = whole(float_bundle, six_images)
    np.testing.assert_allclose(scores, whole_scores, rtol=0, atol=1e-6)
    assert np.array_equal(masks, whole_masks)
    assert scores.shape == (6, 1)
    assert scores.dtype == np.float32
    assert masks.shape == (6, 1, 64, 64)
    assert masks.dtype == np.uint8
    assert np.ptp(scores) > 0.5  # both kinds of samples were seen


@pytest.mark.parametrize("name", ["cpu", "tensorrt"])
def test_int8_stays_near_the_whole_float_network(engines, int8_bundle, six_images, name):
    scores, masks = judged(engines[name], six_images)
    whole_scores, whole_masks = whole(int8_bundle, six_images)
    assert np.abs(scores - whole_scores).max() < 0.2
    assert np.abs(masks.astype(int) - whole_masks).mean() < 10


@pytest.mark.parametrize("name", RENDERINGS)
def test_the_gate_computes_what_the_file_says(engines, folders, six_images, name):
    """To the step near the image; later, a value that falls on the border moves its neighbours."""
    for image in six_images[:, None]:
        scores, skips = engines[name].gate(image)
        expected = reference(folders[name], name, image)
        np.testing.assert_allclose(scores, expected["score"], rtol=0, atol=0.05)
        if name == "float":
            np.testing.assert_allclose(skips["skip_1"], expected["skip_1"], rtol=1e-4, atol=1e-4)
        else:
            steps = np.abs(skips["skip_1"].astype(int) - expected["skip_1"])
            assert steps.max() <= 1
            assert np.mean(steps > 0) < 0.002


@pytest.mark.parametrize("name", RENDERINGS)
def test_a_batch_gives_what_its_images_give_alone(engines, six_images, name):
    batch = six_images[:3]
    scores, masks = judged(engines[name], batch)
    alone = [judged(engines[name], image) for image in batch[:, None]]
    np.testing.assert_allclose(scores, [score[0] for score, _ in alone], rtol=0, atol=1e-5)
    apart = np.abs(masks.astype(int) - np.stack([mask[0] for _, mask in alone]))
    assert apart.max() <= 1
    assert len({mask.tobytes() for mask in masks}) == 3


def test_the_mask_of_a_tile_is_its_own(engines, six_images):
    engine = engines["cpu"]
    skips = engine.gate(six_images)[1]
    backwards = [engine.mask(skips, tile) for tile in reversed(range(6))]
    alone = [judged(engine, image)[1][0] for image in six_images[:, None]]
    assert np.array_equal(backwards[::-1], alone)


@pytest.mark.parametrize(("name", "dtype"), [("cpu", np.uint8), ("tensorrt", np.int8)])
def test_skips_are_handed_over_in_eight_bits(engines, six_images, name, dtype):
    skips = engines[name].gate(six_images[:2])[1]
    assert list(skips) == SKIPS
    assert {skip.dtype for skip in skips.values()} == {np.dtype(dtype)}
    assert [skip.shape[2:] for skip in skips.values()] == [(64 >> k, 64 >> k) for k in range(1, 6)]


def test_the_exact_kernels_of_machines_without_vnni_give_the_same(
    folders, engines, six_images, monkeypatch
):
    monkeypatch.setattr(runtime.onnx_engine, "lacks_vnni", lambda: True)
    scores, masks = judged(engine_of(folders["cpu"]), six_images)
    usual_scores, usual_masks = judged(engines["cpu"], six_images)
    np.testing.assert_allclose(scores, usual_scores, rtol=0, atol=1e-6)
    assert np.array_equal(masks, usual_masks)


@pytest.mark.parametrize("lacks", [True, False])
def test_int8_that_is_hardly_faster_than_float_is_said(
    engines, float_bundle, int8_bundle, monkeypatch, capsys, lacks
):
    monkeypatch.setattr("runtime.engines.lacks_vnni", lambda: lacks)
    slow = "this processor has no VNNI, so INT8 is exact but hardly faster than float\n"
    for bundle, is_said in ((int8_bundle, lacks), (float_bundle, False)):
        say_where_int8_is_slow(open_bundle(bundle), engines["cpu"])
        assert capsys.readouterr().err == f"{bundle}: {slow}" * is_said


def test_the_number_of_threads_changes_no_verdict(folders, engines, six_images):
    scores, masks = judged(engine_of(folders["cpu"], threads=2), six_images)
    usual_scores, usual_masks = judged(engines["cpu"], six_images)
    np.testing.assert_allclose(scores, usual_scores, rtol=0, atol=1e-6)
    assert np.array_equal(masks, usual_masks)


def test_the_name_says_library_version_and_device(engines):
    expected = rf"onnxruntime {re.escape(onnxruntime.__version__)} cpu"
    assert re.fullmatch(expected, engines["cpu"].name)


@pytest.mark.parametrize("content", [None, b"", b"no network"])
def test_what_is_no_network_is_named(folders, tmp_path, content):
    gate = tmp_path / "gate.onnx"
    if content is not None:
        gate.write_bytes(content)
    with pytest.raises(EngineError, match=re.escape(f"{gate}: onnxruntime cannot load it")) as no:
        OnnxEngine(gate, folders["cpu"] / "mask.onnx")
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("shape", [(1, 32, 64, 1), (1, 64, 64, 3)])
def test_images_of_another_shape_are_refused_in_one_line(engines, shape):
    with pytest.raises(EngineError, match="onnxruntime: ") as refused:
        engines["cpu"].gate(np.zeros(shape, np.uint8))
    assert "\n" not in str(refused.value)
