"""What holds for every test: no clock for hypothesis, since the machine may be shared.

And what is made once for all: a small trained model and its bundles, in half a minute.
"""

import ctypes
import importlib
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("without_clock", deadline=None)
settings.load_profile("without_clock")


class Vivid:
    """The kernel's virtual camera: /dev/video0, and /dev/video1 where there are two."""

    path = Path("/dev/video0")
    second = Path("/dev/video1")
    driver = Path("/sys/bus/platform/drivers/vivid")

    def control(self, *options):
        """What v4l2-ctl says; it sets controls and formats from a process of its own."""
        command = ["v4l2-ctl", "-d", str(self.path), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout

    def unplug(self):
        """Pull both cameras' cable."""
        (self.driver / "unbind").write_text("vivid.0", encoding="ascii")

    def plug(self):
        """Plug it in again; the node is back."""
        (self.driver / "bind").write_text("vivid.0", encoding="ascii")
        for _ in range(1000):
            if self.path.exists():
                return
            time.sleep(0.01)
        pytest.exit(f"{self.path} did not come back: a test that failed holds it")


@pytest.fixture
def vivid():
    """The virtual camera as it is after plugging."""
    if "CAMERA_VM" not in os.environ:
        pytest.skip("needs a machine with Linux's vivid camera that may be unplugged: camera-vm")
    camera = Vivid()
    if camera.path.exists():
        camera.unplug()
    camera.plug()
    return camera


@pytest.fixture(scope="session")
def drawn_set(tmp_path_factory):
    """A synthetic dataset of 25 images, 64x64: of the 15 for training 6 are defective."""
    from train.synthesize import SynthesisSettings, synthesize

    root = tmp_path_factory.mktemp("drawn") / "set"
    settings = SynthesisSettings(25, size=(64, 64), images_per_part=1, defective_share=0.4)
    synthesize(root, settings)
    return root


@pytest.fixture(scope="session")
def defectgate():
    """Runs the command in a process of its own; gives its exit status and what it wrote."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "defectgate", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def visible_set(tmp_path_factory):
    """A synthetic dataset that is learned quickly: 120 images, 96x96, with plain defects."""
    from train.synthesize import SynthesisSettings, synthesize

    root = tmp_path_factory.mktemp("visible") / "set"
    plain = SynthesisSettings(
        samples=120, size=(96, 96), seed=1, images_per_part=2, contrast=(7.0, 9.0)
    )
    synthesize(root, plain)
    return root


JETSON_FILES = {
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/nv_tegra_release": (
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n"
    ),
    "proc/device-tree/model": (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0"
    ),
    "proc/meminfo": "MemTotal:        7803192 kB\nMemAvailable:    5201234 kB\n",
    "proc/loadavg": "0.42 0.30 0.20 1/500 1234\n",
    "var/lib/nvpmodel/status": "pmode:0000 fmode:fanNull\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1510400\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "47500\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "48100\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "-256000\n",
}


@pytest.fixture
def jetson_root(tmp_path):
    """The root folder of an Orin Nano with JetPack 6.2, as far as we read it."""
    root = tmp_path / "jetson"
    for name, text in JETSON_FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def six_images(visible_set):
    """Six samples, defective and good, (N, 64, 64, 1)."""
    import cv2
    import numpy as np

    files = sorted((visible_set / "images" / "test").glob("*.png"))[:6]
    small = [
        cv2.resize(cv2.imread(str(file), 0), (64, 64), interpolation=cv2.INTER_AREA)
        for file in files
    ]
    return np.stack(small)[..., None]


@pytest.fixture(scope="session")
def trained_run(visible_set, tmp_path_factory):
    """A model of `visible_set` for 64x64 input, trained long enough to be quantised."""
    from train.settings import TrainSettings
    from train.training import train

    run = tmp_path_factory.mktemp("trained") / "run"
    quick = {"epochs": 12, "seed": 1, "learning_rate": 2e-3, "augment": False, "average_decay": 0.9}
    quick |= {"decoder_alone": False}  # its gate needs them all
    train(TrainSettings(visible_set, run, width=64, height=64, **quick))
    return run


@pytest.fixture(scope="session")
def float_bundle(defectgate, trained_run, tmp_path_factory):
    """What `export` makes of `trained_run` without --int8."""
    out = tmp_path_factory.mktemp("float") / "bundle"
    done = defectgate("export", "--model", trained_run, "--out", out, "--mm-per-pixel", "0.05")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def int8_bundle(defectgate, trained_run, tmp_path_factory):
    """What `export --int8` makes of `trained_run` with eight calibration images."""
    out = tmp_path_factory.mktemp("int8") / "bundle"
    done = defectgate("export", "--model", trained_run, "--out", out, "--int8", "--images", "8")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def built_by_nvidia():
    """NVIDIA's own parser and builder, without a GPU: gives the fused layers, one line each.

    What the parser refuses is a ValueError.
    """
    reason = "needs pip install --no-deps tensorrt_rtx_cu13_libs tensorrt_rtx_cu13_bindings"
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason=reason)

    class Logger(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)
            self.messages = []

        def log(self, severity, message):
            del severity
            self.messages.append(message)

    def build(network, *, typed=False):
        logger = Logger()
        builder = trt.Builder(logger)
        strongly = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        definition = builder.create_network(strongly if typed else 0)
        parser = trt.OnnxParser(definition, logger)  # the weights are its own: it must live on
        if not parser.parse(network):
            raise ValueError(parser.get_error(0).desc())
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        profile = builder.create_optimization_profile()
        for index in range(definition.num_inputs):
            tensor = definition.get_input(index)
            shape = [max(1, side) for side in tensor.shape]
            profile.set_shape(tensor.name, shape, shape, shape)
        config.add_optimization_profile(profile)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            built = builder.build_serialized_network(definition, config)
        assert built, logger.messages[-5:]
        return next(m for m in logger.messages if m.lstrip().startswith("Layers:")).splitlines()

    return build


def plain_network(nodes, inputs, outputs):
    """An ONNX model; it knows the constant `white`."""
    import numpy as np
    from onnx import helper, numpy_helper

    made = [helper.make_node(*node[:3], **node[3]) for node in nodes]
    white = numpy_helper.from_array(np.float32(255), "white")
    sides = [
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(made, "plain", *sides, initializer=[white])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def plain_gate_and_mask():
    """The score is the frame's brightness, the mask its image."""
    from onnx import TensorProto

    skip = ("skip_1", TensorProto.FLOAT, ["N", 1, 64, 64])
    gate = plain_network(
        [
            ("Cast", ["image"], ["pixels"], {"to": TensorProto.FLOAT}),
            ("Div", ["pixels", "white"], ["light"], {}),
            ("Transpose", ["light"], ["skip_1"], {"perm": [0, 3, 1, 2]}),
            ("GlobalAveragePool", ["skip_1"], ["mean"], {}),
            ("Flatten", ["mean"], ["score"], {}),
        ],
        [("image", TensorProto.UINT8, ["N", 64, 64, 1])],
        [("score", TensorProto.FLOAT, ["N", 1]), skip],
    )
    mask = plain_network(
        [
            ("Mul", ["skip_1", "white"], ["drawn"], {}),
            ("Cast", ["drawn"], ["mask"], {"to": TensorProto.UINT8}),
        ],
        [skip],
        [("mask", TensorProto.UINT8, ["N", 1, 64, 64])],
    )
    return gate, mask


@pytest.fixture(scope="session")
def plain_bundle(tmp_path_factory):
    """A bundle that needed no training: `plain_gate_and_mask`."""
    import onnx

    from runtime.manifest import Manifest, Provenance, seal_bundle
    from runtime.preprocess import preprocess_digest
    from runtime.spec import InputSpec, Limits

    root = tmp_path_factory.mktemp("plain") / "bundle"
    (root / "cpu").mkdir(parents=True)
    for name, network in zip(("gate", "mask"), plain_gate_and_mask(), strict=True):
        onnx.save(network, root / "cpu" / f"{name}.onnx")
    manifest = Manifest(
        schema=1,
        precision="float",
        input=InputSpec(64, 64, 1),
        class_names=("defect",),
        limits=Limits(0.5, 0.5, 0.0),
        guarantee=None,
        mm_per_pixel=None,
        preprocess_digest=preprocess_digest(),
        metrics={},
        provenance=Provenance(
            data_digest="", calibration_digest="", model_sha256="", settings={}, versions={}
        ),
        files={},
    )
    seal_bundle(root, manifest)
    return root


@pytest.fixture(scope="session")
def pycuda_driver():
    """Pycuda's driver module on a real GPU."""
    from runtime.errors import EngineError
    from runtime.gpu import pycuda_driver

    try:
        cuda = pycuda_driver()
    except EngineError as error:
        pytest.skip(f"needs a GPU and pycuda: {error}")
    if hasattr(ctypes.CDLL("libcuda.so.1"), "standin_reset"):
        pytest.skip("needs a process without the stand-in driver: pytest -m gpu tests/test_gpu*.py")
    return cuda


SIMULATED = Path(__file__).parent / "simulated"


@pytest.fixture(scope="session")
def libcuda(tmp_path_factory):
    """The stand-in driver, loaded: whoever opens libcuda.so.1 from here on gets it."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("needs gcc (apt-get install gcc)")
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    warnings_are_errors = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    shared = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    source = SIMULATED / "libcuda.c"
    command = [gcc, "-std=c11", "-O2", *warnings_are_errors, *shared, source, "-o", library]
    subprocess.run(command, check=True)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    return library


@pytest.fixture
def simulated(libcuda, monkeypatch):
    """Gives the stand-in for one release of TensorRT; nothing may be misused unsaid."""
    del libcuda
    monkeypatch.syspath_prepend(SIMULATED)
    started = []

    def start(release):
        monkeypatch.setenv("SIMULATED_TENSORRT", release)
        forget()
        started.append(importlib.import_module("tensorrt"))
        return started[-1]

    def forget():  # for good: what monkeypatch takes from sys.modules comes back
        for name in list(sys.modules):
            if name.partition(".")[0] in {"tensorrt", "pycuda"}:
                del sys.modules[name]

    yield start
    forget()
    for trt in started:
        said = trt.misuse()
        assert said is None, said
