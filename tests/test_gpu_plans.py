"""A bundle's plans on a real GPU, from `build` to `benchmark`.

The bundle is `int8_bundle`, or the folder that `DEFECTGATE_GPU_BUNDLE` names, with frames in
`DEFECTGATE_GPU_FRAMES`.
"""

import json
import os
from pathlib import Path

import pytest

from export.plan import recipes, release_of
from runtime.engines import engine_of
from runtime.errors import EngineError
from runtime.gpu import tensorrt, this_device
from runtime.inspection import Inspector
from runtime.manifest import open_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.plans import NETWORKS, find_plans
from runtime.settings import EngineKind
from runtime.sources import open_source
from runtime.tensorrt_engine import TensorRtEngine
from runtime.verdict import Answer

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NEAR = 0.02  # a score this near to the threshold may fall on either side of it


@pytest.fixture(scope="module")
def trt(pycuda_driver):
    del pycuda_driver  # skips where there is none
    try:
        return tensorrt()
    except EngineError as error:
        pytest.skip(f"needs TensorRT: {error}")


@pytest.fixture(scope="module")
def given(trt, request):
    """The bundle, and the folder of its frames."""
    del trt
    if "DEFECTGATE_GPU_BUNDLE" in os.environ:
        folder = Path(os.environ["DEFECTGATE_GPU_BUNDLE"])
        return open_bundle(folder), os.environ["DEFECTGATE_GPU_FRAMES"]
    pytest.importorskip("timm", reason="needs pip install .[export], or DEFECTGATE_GPU_BUNDLE")
    frames = request.getfixturevalue("visible_set") / "images" / "test"
    return open_bundle(request.getfixturevalue("int8_bundle")), frames


@pytest.fixture
def frames(given):
    with open_source(str(given[1]), given[0].manifest.input.channels) as source:
        return list(source)


@pytest.fixture(scope="module", params=["int8", "fp16"])
def built(given, defectgate, tmp_path_factory, request):
    """The bundle, the folder of its plans, and the precision."""
    engines = tmp_path_factory.mktemp(request.param)
    flags = ("--precision", request.param, "--engines", engines)
    done = defectgate("build", given[0].root, *flags)
    print(done.stderr)  # noqa: T201 - times and differences, shown by pytest -rP
    assert done.returncode == 0, done.stderr
    return given[0], engines, request.param


@pytest.fixture
def engine(built):
    bundle, engines, _ = built
    engine = engine_of(bundle, EngineKind.TENSORRT, engines).engine
    yield engine
    engine.close()


def judged(bundle, engine, frames):
    manifest = bundle.manifest
    inspector = Inspector(engine, manifest.input, manifest.limits, manifest.class_names)
    return [inspector.inspect(frame).verdict for frame in frames]


def test_a_thousand_frames_get_the_verdicts_of_onnxruntime(trt, built, engine, frames):
    """Of the same rendering, on the CPU."""
    bundle, _, precision = built
    of = {r.precision.value: r for r in recipes(bundle, release_of(trt.__version__), None)}
    networks = (of[precision].folder / f"{name}.onnx" for name in NETWORKS)
    reference = OnnxEngine(*networks, 1, fused=not of[precision].typed)
    expected = judged(bundle, reference, frames)
    off = []
    for turn in range(-(-1000 // len(frames))):
        for found, right in zip(judged(bundle, engine, frames), expected, strict=True):
            off.append(abs(found.score - right.score))
            near = abs(right.score - bundle.manifest.limits.threshold) < NEAR
            assert found.verdict is right.verdict or near, (turn, found, right)
    print(f"{len(off)} frames, {precision}: scores off by {max(off):.5f} at most")  # noqa: T201
    assert max(off) < NEAR


def test_both_networks_are_graphs_that_compute_what_is_enqueued(built, engine, frames):
    assert engine.conventions["cuda_graph"], engine.name
    bundle, engines, precision = built
    replayed = [(v.score, v.defects) for v in judged(bundle, engine, frames)]
    engine.close()  # a thread has one engine at a time
    plans = find_plans(engines, bundle.sha256, this_device(), "build")
    content = dict(zip(NETWORKS, (plans.gate, plans.mask), strict=True))
    enqueued = TensorRtEngine(content, engine.threshold, precision, graphs=False)
    assert [(v.score, v.defects) for v in judged(bundle, enqueued, frames)] == replayed
    enqueued.close()


def test_a_fault_of_the_gpu_costs_one_frame(built, engine, frames, gpu_fault):
    expected = judged(built[0], engine, frames)
    gpu_fault()
    lost, *found = judged(built[0], engine, frames)
    assert lost.verdict is Answer.UNKNOWN
    assert "the GPU's context is made anew" in lost.reason
    assert [v.score for v in found] == [v.score for v in expected[1:]]


def test_runtime_and_benchmark_run_on_the_plans(built, given, defectgate, tmp_path):
    bundle, engines, precision = built
    flags = ("--bundle", bundle.root, "--engine", "tensorrt", "--engines", engines)
    flags += ("--camera", given[1])
    done = defectgate("runtime", *flags)
    header, *_, counts = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert header["engine"].endswith(f" {precision}")
    assert header["self_test"].endswith("golden images got their verdicts")
    assert counts["UNKNOWN"] == 0
    report = tmp_path / "report.json"
    done = defectgate("benchmark", *flags, "--seconds", "1", "--json", report)
    print(done.stdout)  # noqa: T201 - the table
    assert done.returncode == 0, done.stderr
    phases = json.loads(report.read_bytes())["phases"]
    for network in ("gate", "mask"):
        assert min(spread["median"] for spread in phases[network]["parts"].values()) >= 0
        assert 0 < phases[network]["parts"]["compute"]["median"] < 1000
