"""Which engine runs a bundle on this device, and why."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from runtime.engine import Engine
from runtime.errors import EngineError, say
from runtime.gpu import this_device
from runtime.machine import lacks_vnni
from runtime.manifest import Bundle
from runtime.onnx_engine import OnnxEngine
from runtime.plans import NETWORKS, Plans, find_plans, have_plans
from runtime.settings import ENGINES, EngineKind
from runtime.tensorrt_engine import TensorRtEngine


@dataclass(frozen=True)
class Chosen:
    """An engine, why it is this one, and whether the golden images judge it first.

    `rle`: its masks go into the record.
    """

    engine: Engine
    reason: str
    self_test: bool = False
    rle: bool = False


def engine_of(
    bundle: Bundle,
    kind: EngineKind,
    engines: Path = ENGINES,
    *,
    spin: bool = False,
    self_test: bool = False,
) -> Chosen:
    """The engine for `bundle`; `auto` takes TensorRT where plans that fit lie in `engines`.

    Where there are some that do not fit, it says so on standard error.

    Raises:
        EngineError: what was asked for cannot be had.
    """
    mend = f"defectgate build {shlex.quote(str(bundle.root))} makes one"
    if kind is EngineKind.ONNXRUNTIME:
        return Chosen(onnx_engine_of(bundle), "asked for", self_test)
    if kind is EngineKind.AUTO and not have_plans(engines, bundle.sha256):
        reason = f"no TensorRT plan in {engines}; {mend}"
        return Chosen(onnx_engine_of(bundle), reason, self_test)
    try:
        plans = find_plans(engines, bundle.sha256, this_device(), mend)
        engine = tensorrt_engine_of(bundle, plans, spin=spin)
    except EngineError as error:
        if kind is EngineKind.TENSORRT:
            raise
        reason = f"not TensorRT: {error}"
        say(f"{bundle.root}: {reason}; the CPU judges")
        return Chosen(onnx_engine_of(bundle), reason, self_test)
    return Chosen(engine, f"plans in {plans.folder}", self_test)


def engines_of(bundle: Bundle, kind: EngineKind, engines: Path = ENGINES) -> list[Chosen]:
    """The engine that `engine_of` takes; for `auto` after onnxruntime, where that is another.

    Raises:
        EngineError: what was asked for cannot be had.
    """
    chosen = engine_of(bundle, kind, engines)
    if kind is EngineKind.AUTO and not isinstance(chosen.engine, OnnxEngine):
        return [engine_of(bundle, EngineKind.ONNXRUNTIME), chosen]
    return [chosen]


def say_where_int8_is_slow(bundle: Bundle, engine: Engine) -> None:
    """On standard error, where `engine` runs INT8 on a processor that has no kernels for it."""
    int8 = bundle.manifest.precision == "int8"
    if int8 and isinstance(engine, OnnxEngine) and lacks_vnni():
        slow = "this processor has no VNNI, so INT8 is exact but hardly faster than float"
        say(f"{bundle.root}: {slow}")


def onnx_engine_of(bundle: Bundle) -> OnnxEngine:
    """The bundle's CPU rendering in onnxruntime."""
    return OnnxEngine(bundle.root / "cpu/gate.onnx", bundle.root / "cpu/mask.onnx")


def tensorrt_engine_of(bundle: Bundle, plans: Plans, *, spin: bool = False) -> TensorRtEngine:
    """The plans, loaded for the bundle's threshold."""
    return TensorRtEngine(
        dict(zip(NETWORKS, (plans.gate, plans.mask), strict=True)),
        bundle.manifest.limits.threshold,
        plans.record.precision,
        dla_core=plans.record.options.dla_core,
        spin=spin,
    )
