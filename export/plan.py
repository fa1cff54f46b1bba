"""One network of a bundle as a TensorRT plan for this device, in one precision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from export.cache import CACHE_FILE, of_release
from runtime.errors import EngineError
from runtime.gpu import listener, tensorrt
from runtime.manifest import Bundle

TYPED_FROM = (10, 12)  # before, the typed rendering would lose to the weakly typed one
LAST_WEAK = 10
IMPLIED_BATCH = 10  # from here on every network has an explicit batch
FLOAT = "tensorrt/float"
HALF = "tensorrt/half"  # the float network in float16, strongly typed
Progress = Callable[[str, int, int], None]  # phase, steps done, steps in all


class Precision(str, Enum):
    """How a pair of plans computes."""

    FP16 = "fp16"
    INT8 = "int8"
    IMPLICIT_INT8 = "implicit-int8"


@dataclass(frozen=True)
class Recipe:
    """A rendering of the bundle, and how TensorRT is to build it; `cache` for implicit INT8."""

    precision: Precision
    folder: Path
    typed: bool
    cache: Path | None = None


def recipes(bundle: Bundle, release: tuple[int, ...], dla_core: int | None) -> list[Recipe]:
    """What this release of TensorRT can build of the bundle. A DLA takes no Q/DQ."""
    typed = release >= TYPED_FROM
    root, files = bundle.root, bundle.manifest.files
    floating = FLOAT if f"{FLOAT}/gate.onnx" in files else "cpu"
    quantized = "tensorrt/typed" if typed else "tensorrt"
    found = []
    half = HALF if typed else floating
    if f"{half}/gate.onnx" in files:
        found.append(Recipe(Precision.FP16, root / half, typed))
    if f"{quantized}/gate.onnx" in files and dla_core is None:
        found.append(Recipe(Precision.INT8, root / quantized, typed))
    if CACHE_FILE in files and release[0] <= LAST_WEAK:
        cache = root / CACHE_FILE
        found.append(Recipe(Precision.IMPLICIT_INT8, root / floating, typed=False, cache=cache))
    return found


def release_of(version: str) -> tuple[int, ...]:
    """The numbers of a version such as 10.13.3.9."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def build_plan(
    name: str,
    recipe: Recipe,
    shapes: Mapping[str, int],
    dla_core: int | None,
    timing: bytes,
    progress: Progress,
) -> tuple[bytes, bytes]:
    """The plan of `gate` or `mask`, and the timing cache as it is then.

    `shapes` is the largest batch of `image`, where that is an input; every other input takes one.

    Raises:
        EngineError: TensorRT cannot parse or build it.
    """
    trt: Any = tensorrt()
    logger = listener()
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt, typed=recipe.typed))
    parser = trt.OnnxParser(network, logger)  # owns the weights: it must outlive the build
    path = recipe.folder / f"{name}.onnx"
    if not parser.parse(path.read_bytes()):
        said = parser.get_error(0).desc() if parser.num_errors else logger.said
        raise EngineError(f"{path}: TensorRT cannot parse it ({' '.join(said.split())})")
    if not recipe.typed:
        _half_skips(trt, network)
    config = _config(trt, builder, recipe, dla_core)
    config.add_optimization_profile(_profile(builder, network, shapes, dla_core))
    cache = _attach(config, timing)
    monitor = _monitor(trt, config, progress)
    plan = builder.build_serialized_network(network, config)
    del monitor
    if plan is None:
        raise EngineError(f"{path}: TensorRT cannot build it ({logger.said})")
    return bytes(plan), bytes(cache.serialize())


def _network_flags(trt: Any, *, typed: bool) -> int:
    flags = trt.NetworkDefinitionCreationFlag
    if release_of(trt.__version__)[0] < IMPLIED_BATCH:
        return 1 << int(flags.EXPLICIT_BATCH)
    return 1 << int(flags.STRONGLY_TYPED) if typed else 0


def _half_skips(trt: Any, network: Any) -> None:
    """Hand float skips over in float16; TensorRT would widen them at the border."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    for tensor in (*inputs, *outputs):
        if tensor.name.startswith("skip_") and tensor.dtype == trt.DataType.FLOAT:
            tensor.dtype = trt.DataType.HALF


def _config(trt: Any, builder: Any, recipe: Recipe, dla_core: int | None) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if not recipe.typed:
        config.set_flag(trt.BuilderFlag.FP16)
        if recipe.precision is not Precision.FP16:
            config.set_flag(trt.BuilderFlag.INT8)
    if recipe.cache:
        config.int8_calibrator = _calibrator(trt, recipe.cache)
    if dla_core is not None:
        if dla_core >= builder.num_DLA_cores:
            raise EngineError(
                f"--dla-core {dla_core}: this device has {builder.num_DLA_cores}; leave it out"
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return config


def _profile(builder: Any, network: Any, shapes: Mapping[str, int], dla_core: int | None) -> Any:
    """Batches from one to the largest, tuned for that; a DLA takes that one alone."""
    profile = builder.create_optimization_profile()
    for tensor in (network.get_input(i) for i in range(network.num_inputs)):
        most = shapes.get(tensor.name, 1)
        rest = tuple(tensor.shape)[1:]
        least = 1 if dla_core is None else most
        profile.set_shape(tensor.name, (least, *rest), (most, *rest), (most, *rest))
    return profile


def _attach(config: Any, timing: bytes) -> Any:
    """The timing cache in use: the old one where TensorRT takes it, else an empty one."""
    cache = config.create_timing_cache(timing)
    if cache is None or not config.set_timing_cache(cache, False):  # noqa: FBT003 - by position
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)  # noqa: FBT003
    return cache


def _calibrator(trt: Any, cache: Path) -> Any:
    """What gives the ranges of `cache` to the builder, and has no images."""
    text = of_release(cache.read_text(encoding="ascii"), release_of(trt.__version__))

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Any) -> None:
            """Nothing: every range is known."""

        def read_calibration_cache(self) -> bytes:
            return text.encode("ascii")

        def write_calibration_cache(self, cache: Any) -> None:
            """Nothing: the bundle holds it."""

    return Calibrator()


def _monitor(trt: Any, config: Any, progress: Progress) -> Any:
    """What passes the builder's steps to `progress`; releases before 10 tell none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            self.steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self.steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            progress(phase_name, self.steps[phase_name], self.steps[phase_name])

    config.progress_monitor = Monitor()
    return config.progress_monitor
