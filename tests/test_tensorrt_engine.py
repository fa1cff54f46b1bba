"""The TensorRT engine against the strict stand-in: tiles, graphs, and everything that can fail."""

import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import runtime.tensorrt_engine
from export.plan import Precision, Recipe, build_plan, recipes, release_of
from runtime.benchmark import benchmark
from runtime.engines import Chosen
from runtime.errors import EngineError, GpuLostError
from runtime.inspection import Inspector
from runtime.loop import inspector_of_bundle, run_source
from runtime.manifest import open_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.sources import open_source
from runtime.tensorrt_engine import TensorRtEngine
from runtime.tiling import Fit
from runtime.verdict import Answer

NO_RESOURCES, LAUNCH_FAILED = 701, 719
RELEASES = ["8.6.1", "10.3.0", "11.4.0.106"]


@pytest.fixture(scope="module")
def bundle(int8_bundle):
    return open_bundle(int8_bundle)


def reference_for(bundle, release):
    typed = release_of(release) >= (10, 12)
    folder = bundle.root / ("tensorrt/typed" if typed else "tensorrt")
    return OnnxEngine(folder / "gate.onnx", folder / "mask.onnx", 1, fused=not typed)


@pytest.fixture
def engine_for(simulated, bundle):
    """Builds the INT8 plans for a release, and gives the engine over them."""
    made = []

    def engine(release="10.3.0", tiles=1, threshold=None, **how):
        simulated(release)
        of = {r.precision.value: r for r in recipes(bundle, release_of(release), None)}
        plans = {
            name: build_plan(name, of["int8"], {"image": tiles}, None, b"", lambda *_: None)[0]
            for name in ("gate", "mask")
        }
        if threshold is None:
            threshold = bundle.manifest.limits.threshold
        made.append(TensorRtEngine(plans, threshold, "int8", **how))
        return made[-1]

    yield engine
    for started in made:
        started.close()


@pytest.fixture
def frames(visible_set):
    with open_source(str(visible_set / "images" / "test"), 1) as source:
        return list(source)[:6]


def driver():
    return sys.modules["pycuda.driver"].library


def judged(bundle, engine, frames):
    manifest = bundle.manifest
    inspector = Inspector(engine, manifest.input, manifest.limits, manifest.class_names)
    return [inspector.inspect(frame).verdict for frame in frames]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0])
def test_the_mask_of_each_tile_is_drawn_where_its_skips_lie(
    engine_for, bundle, six_images, release, threshold
):
    """Whether it was begun with the scores, or is asked for later; in any order."""
    engine = engine_for(release, tiles=6, threshold=threshold)
    reference = reference_for(bundle, release)
    assert engine.tiles == 6
    for count in (6, 2, 6):
        scores, skips = engine.gate(six_images[:count])
        expected, expected_skips = reference.gate(six_images[:count])
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
        for tile in reversed(range(count)):
            drawn = engine.mask(skips, tile)
            apart = np.abs(drawn.astype(int) - reference.mask(expected_skips, tile))
            assert apart.max() <= 1
        assert len({engine.mask(skips, tile).tobytes() for tile in range(count)}) == count


def test_a_frame_is_one_call_and_no_python_between(engine_for, bundle, frames):
    engine = engine_for()
    before = driver().standin_launches()
    verdicts = judged(bundle, engine, frames)
    opened = sum(verdict.verdict is Answer.NG for verdict in verdicts)
    assert 0 < opened < len(frames)
    assert driver().standin_launches() - before == len(frames) + opened


def test_a_frame_with_more_tiles_than_the_plan_takes_gets_the_same_verdict(
    engine_for, bundle, frames
):
    manifest = bundle.manifest
    spec = replace(manifest.input, fit=Fit.TILE)
    found = {}
    for tiles in (4, 3, 1):
        engine = engine_for(tiles=tiles)
        inspector = Inspector(engine, spec, manifest.limits, manifest.class_names)
        verdicts = [inspector.inspect(frame).verdict for frame in frames]
        assert {verdict.verdict for verdict in verdicts} == {Answer.OK, Answer.NG}
        found[tiles] = [(verdict.score, verdict.defects) for verdict in verdicts]
        engine.close()
    assert found[4] == found[3] == found[1]


def test_skips_that_do_not_lie_on_256_bytes_are_copied(simulated, tmp_path):
    simulated("10.3.0")
    skip = ("skip_1", TensorProto.FLOAT, ["N", 1, 12, 12])
    white = onnx.numpy_helper.from_array(np.float32(255), "white")
    gate = network(
        [
            ("Cast", ["image"], ["pixels"], {"to": TensorProto.FLOAT}),
            ("Div", ["pixels", "white"], ["light"], {}),
            ("Transpose", ["light"], ["skip_1"], {"perm": [0, 3, 1, 2]}),
            ("GlobalAveragePool", ["skip_1"], ["mean"], {}),
            ("Flatten", ["mean"], ["score"], {}),
        ],
        [("image", TensorProto.UINT8, ["N", 12, 12, 1])],
        [("score", TensorProto.FLOAT, ["N", 1]), skip],
        white,
    )
    mask = network(
        [
            ("Mul", ["skip_1", "white"], ["drawn"], {}),
            ("Cast", ["drawn"], ["mask"], {"to": TensorProto.UINT8}),
        ],
        [skip],
        [("mask", TensorProto.UINT8, ["N", 1, 12, 12])],
        white,
    )
    for name, model in (("gate", gate), ("mask", mask)):
        onnx.save(model, tmp_path / f"{name}.onnx")
    recipe = Recipe(Precision.FP16, tmp_path, typed=False)
    plans = {
        name: build_plan(name, recipe, {"image": 3}, None, b"", lambda *_: None)[0]
        for name in ("gate", "mask")
    }
    engine = TensorRtEngine(plans, 0.5, "fp16")
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 1), np.uint8)
    _, skips = engine.gate(images)
    for tile in range(3):
        apart = np.abs(engine.mask(skips, tile)[0].astype(int) - images[tile, ..., 0])
        assert apart.max() <= 1
    engine.close()


def network(nodes, inputs, outputs, constant):
    made = [helper.make_node(*node[:3], **node[3]) for node in nodes]
    sides = [
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(made, "plain", *sides, initializer=[constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_spinning_gives_the_same(engine_for, bundle, frames):
    asleep = judged(bundle, engine_for(), frames)
    spinning = judged(bundle, engine_for(spin=True), frames)
    assert [v.score for v in asleep] == [v.score for v in spinning]


@pytest.mark.parametrize("graphs", [True, False])
def test_a_timed_call_computes_the_same_and_tells_what_took_how_long(
    engine_for, six_images, graphs
):
    engine = engine_for(tiles=2, threshold=2.0, graphs=graphs)
    called = []
    for timed in (False, True):
        engine.timed = timed
        scores, skips = engine.gate(six_images[:2])
        called.append((scores.tolist(), engine.call_times()))
        called.append((engine.mask(skips, 1).tolist(), engine.call_times()))
    (plain_scores, none), (plain_mask, neither), (scores, gate), (mask, drawn) = called
    assert (plain_scores, plain_mask) == (scores, mask)
    assert (none, neither) == (None, None)
    assert min(gate.enqueue, gate.h2d, gate.compute, gate.d2h) > 0
    assert min(drawn.enqueue, drawn.compute, drawn.d2h) > 0


def test_a_benchmark_of_the_plans_tells_the_enqueue_time(engine_for, bundle, visible_set):
    inspector = inspector_of_bundle(bundle, engine_for())
    report = benchmark(bundle, inspector, str(visible_set / "images" / "test"), 0.01)
    has_parts = {name: list(phase.parts) for name, phase in report.phases.items() if phase.parts}
    assert has_parts == {key: ["enqueue", "h2d", "compute", "d2h"] for key in ("gate", "mask")}


@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("cuStreamBeginCapture", 0),
        ("cuStreamBeginCapture", 1),
        ("cuStreamEndCapture", 0),
        ("cuGraphInstantiate", 1),
        ("cuGraphUpload", 0),
    ],
)
def test_where_capture_fails_the_work_is_enqueued_and_that_is_said_once(
    engine_for, bundle, frames, capsys, call, after
):
    expected = [verdict.score for verdict in judged(bundle, engine_for(), frames)]
    driver().standin_fail(call.encode(), 900, after)
    engine = engine_for()
    driver().standin_reset()
    for _ in range(2):
        assert [verdict.score for verdict in judged(bundle, engine, frames)] == expected
    (line,) = capsys.readouterr().err.splitlines()
    reason = f"{call}: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)"
    assert line == f"CUDA graphs cannot be used: {reason}; enqueued instead"
    assert engine.name == f"tensorrt 10.3.0 int8, no CUDA graph: {reason}"


@pytest.mark.parametrize("call", ["cuGraphLaunch", "cuStreamQuery"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_fault_of_the_gpu_costs_one_frame(engine_for, bundle, frames, call, after):
    engine = engine_for()
    expected = judged(bundle, engine, frames)
    driver().standin_fail(call.encode(), NO_RESOURCES, after)
    found = judged(bundle, engine, frames)
    (unknown,) = [verdict for verdict in found if verdict.verdict is Answer.UNKNOWN]
    fault = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (701)"
    said = f"tensorrt: {call}: {fault}; the GPU's context is made anew"
    assert unknown.reason == said
    for verdict, right in zip(found, expected, strict=True):
        assert verdict is unknown or verdict.score == right.score
    driver().standin_reset()


def test_a_fault_that_outlives_its_context_ends_the_run(engine_for, bundle, visible_set, tmp_path):
    """As CUDA has it: the process can make no other context."""
    engine = engine_for()
    driver().standin_fail(b"cuGraphLaunch", LAUNCH_FAILED, 3)
    out = tmp_path / "verdicts.jsonl"
    with pytest.raises(GpuLostError, match=r"^this process has lost the GPU, start it again: "):
        run_source(
            bundle, str(visible_set / "images/test"), out, chosen=Chosen(engine, "asked for")
        )
    *verdicts, counts = map(json.loads, out.read_text().splitlines()[1:])
    fault, lost = verdicts[-2:]
    assert "CUDA_ERROR_LAUNCH_FAILED (719)" in fault["reason"]
    assert "start it again: no CUDA context: cuCtxCreate failed: 719" in lost["reason"]
    assert counts["UNKNOWN"] == 2
    assert counts["samples"] == len(verdicts)
    driver().standin_reset()


def test_a_gpu_that_does_not_answer_is_unknown_until_it_does(
    engine_for, bundle, frames, monkeypatch
):
    engine = engine_for()
    monkeypatch.setattr(runtime.tensorrt_engine, "PATIENCE_S", 0.01)
    driver().standin_hang(1)
    (late,) = judged(bundle, engine, frames[:1])
    assert late.verdict is Answer.UNKNOWN
    assert "the GPU did not answer in time" in late.reason
    driver().standin_hang(0)
    monkeypatch.setattr(runtime.tensorrt_engine, "PATIENCE_S", 10.0)
    assert Answer.UNKNOWN not in {verdict.verdict for verdict in judged(bundle, engine, frames)}


@pytest.mark.parametrize("poison", ["nan", "inf"])
def test_a_score_that_is_no_number_is_unknown(engine_for, bundle, frames, monkeypatch, poison):
    engine = engine_for()
    monkeypatch.setenv("SIMULATED_POISON", poison)
    (verdict,) = judged(bundle, engine, frames[:1])
    assert verdict.verdict is Answer.UNKNOWN
    assert verdict.reason == "the score is not a number; the GPU's context is made anew"
    monkeypatch.delenv("SIMULATED_POISON")
    (verdict,) = judged(bundle, engine, frames[:1])
    assert verdict.verdict is not Answer.UNKNOWN


def test_a_closed_engine_asks_for_the_gpu_again_at_every_frame(
    engine_for, bundle, frames, monkeypatch
):
    engine = engine_for()
    engine.close()
    monkeypatch.setenv("SIMULATED_GPU", "none")
    verdicts = judged(bundle, engine, frames[:2])
    assert {verdict.verdict for verdict in verdicts} == {Answer.UNKNOWN}
    assert "no GPU answers (" in verdicts[1].reason
    monkeypatch.delenv("SIMULATED_GPU")
    assert judged(bundle, engine, frames[:1])[0].verdict is not Answer.UNKNOWN


def test_an_engine_gives_everything_back(engine_for, six_images):
    engine = engine_for(tiles=3)
    engine.gate(six_images[:3])
    assert driver().standin_blocks() > 0
    engine.close()
    engine.close()
    assert driver().standin_blocks() == 0


def test_what_the_plan_does_not_take_says_the_mend(engine_for, six_images):
    engine = engine_for(tiles=2)
    with pytest.raises(EngineError, match=r"plan takes 2x64x64x1, got 3x64x64x1; .*--tiles 3"):
        engine.gate(six_images[:3])
    _, older = engine.gate(six_images[:1])
    engine.gate(six_images[:1])
    with pytest.raises(EngineError, match=r"overwritten by a later gate"):
        engine.mask(older, 0)


def test_no_memory_is_an_error_of_ours(simulated, engine_for):
    engine_for().close()
    driver().standin_fail(b"cuMemAlloc", 2, 1)
    with pytest.raises(EngineError, match=r"^tensorrt: cuMemAlloc failed: 2$"):
        engine_for()
    driver().standin_reset()
    driver().standin_fail(b"cuCtxCreate", 2, 0)
    with pytest.raises(EngineError, match=r"^no CUDA context: cuCtxCreate failed: 2$"):
        engine_for()
    assert driver().standin_blocks() == 0
    driver().standin_reset()
    del simulated


def test_a_plan_that_tensorrt_does_not_take_is_named(engine_for):
    engine_for()
    with pytest.raises(EngineError, match=r"gate.plan: TensorRT cannot load it \(simulated: the"):
        TensorRtEngine({"gate": b"", "mask": b""}, 0.5, "int8")
