"""From ONNX to a plan."""

import hashlib
import io
import json
import os
import weakref

import onnx
from pycuda import driver

from tensorrt import names
from tensorrt.names import (
    MAJOR,
    TYPES,
    VERSION,
    DataType,
    DeviceType,
    ILogger,
    Misuse,
    NetworkDefinitionCreationFlag,
    Simulated,
    made,
)


class IHostMemory(Simulated):
    """Bytes that TensorRT owns."""

    def __init__(self, content):
        self._content = content

    def __buffer__(self, flags):
        return memoryview(self._content)

    @property
    def nbytes(self):
        return len(self._content)

    def __bytes__(self):
        return self._content


class ITensor(Simulated):
    """An input or output of a network."""

    def __init__(self, value):
        self._value = value
        self._name = value.name
        self._dtype = getattr(DataType, TYPES[value.type.tensor_type.elem_type][0])

    @property
    def name(self):
        return self._name

    @property
    def shape(self):
        return tuple(d.dim_value or -1 for d in self._value.type.tensor_type.shape.dim)

    @property
    def dtype(self):
        return self._dtype

    @dtype.setter
    def dtype(self, dtype):
        self._dtype = dtype


class INetworkDefinition(Simulated):
    """What a parser fills."""

    def __init__(self, flags):
        self._flags = flags
        self._model = None
        self._parser = None
        self._inputs, self._outputs = [], []

    @property
    def _is_typed(self):
        if MAJOR >= 11:
            return True
        typed = getattr(NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return typed is not None and bool(self._flags & (1 << typed))

    @property
    def num_inputs(self):
        return len(self._inputs)

    @property
    def num_outputs(self):
        return len(self._outputs)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]


class ParserError(Simulated):
    """What a parser would not take."""

    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text


class OnnxParser(Simulated):
    """onnx's own checker, and the rules on opsets and zero points."""

    def __init__(self, network, logger):
        made(logger, ILogger)
        self._network = network
        self._error = None

    def parse(self, content):
        try:
            model = onnx.load_from_string(bytes(content))
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # noqa: BLE001 - onnx's errors have no base class
            self._error = str(error).partition("\n")[0]
            return False
        most = 17 if MAJOR < 10 else 20
        if model.opset_import[0].version > most and MAJOR < 11:
            self._error = f"opset {model.opset_import[0].version}, {most} at most"
            return False
        halves = {t.data_type for t in model.graph.initializer} & {onnx.TensorProto.FLOAT16}
        network = self._network
        if halves and not network._is_typed:
            raise Misuse("a float16 rendering was parsed into a weakly typed network")
        network._model, network._parser = model, weakref.ref(self)
        network._inputs = [ITensor(value) for value in model.graph.input]
        network._outputs = [ITensor(value) for value in model.graph.output]
        return True

    @property
    def num_errors(self):
        return int(self._error is not None)

    def get_error(self, index):
        assert index == 0
        return ParserError(self._error)


class IOptimizationProfile(Simulated):
    """The shapes of the inputs."""

    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002 - TensorRT's names
        self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class ITimingCache(Simulated):
    """What an earlier build timed."""

    def __init__(self, content):
        self._content = content

    def serialize(self):
        return IHostMemory(self._content)


class IBuilderConfig(Simulated):
    """How to build."""

    profiling_verbosity = None
    default_device_type = DLA_core = None
    int8_calibrator = progress_monitor = None

    def __init__(self):
        self._flags, self._profiles, self._cache = set(), [], None

    def set_flag(self, flag):
        assert flag.owner == "BuilderFlag"
        self._flags.add(flag.name)

    def add_optimization_profile(self, profile):
        self._profiles.append(profile)
        return 0

    def create_timing_cache(self, content):
        content = bytes(content)
        if content and not content.startswith(b"timing "):
            return None
        return ITimingCache(content or b"timing " + device_line())

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache._content != b"timing " + device_line() and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache


def device_line():
    device = driver.Device(0)
    return f"{VERSION} {device.name()} {device.compute_capability()}".encode()


class Builder(Simulated):
    """Makes plans: what was parsed, and for what."""

    def __init__(self, logger):
        self._listener = made(logger, ILogger)

    def create_network(self, flags=0):
        if MAJOR < 10 and not flags & (1 << NetworkDefinitionCreationFlag.EXPLICIT_BATCH):
            raise Misuse("TensorRT 8 parses ONNX into a network of explicit batch alone")
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    @property
    def num_DLA_cores(self):  # noqa: N802 - TensorRT's name
        return int(os.environ.get("SIMULATED_DLA_CORES", "2"))

    def build_serialized_network(self, network, config):
        fault = os.environ.get("SIMULATED_BUILDER_FAULT", "")
        model = network._model
        if model is None:
            raise Misuse("an empty network was built")
        if network._parser() is None:
            raise Misuse("the parser, which owns the weights, was gone before the build")
        what = " ".join(sorted(config._flags)) or "typed"
        if fault == "kill" and any(t.name.startswith("mask") for t in network._outputs):
            os.kill(os.getpid(), 9)
        if fault and fault in what:
            self._listener.log(ILogger.ERROR, f"[builder] simulated: out of memory in {what}")
            return None
        if not self._is_sound(network, config):
            return None
        self._tell(config.progress_monitor if MAJOR >= 10 else None)
        return IHostMemory(_plan(network, config))

    def _is_sound(self, network, config):
        typed, flags = network._is_typed, config._flags
        if typed and flags & {"FP16", "INT8"}:
            raise Misuse("a precision flag on a strongly typed network")
        if config.default_device_type is not None:
            assert config.default_device_type == DeviceType.DLA
            if config.DLA_core is None or "GPU_FALLBACK" not in flags:
                raise Misuse("a DLA without a core, or without GPU_FALLBACK")
            if config.DLA_core >= self.num_DLA_cores:
                self._listener.log(ILogger.ERROR, f"DLA core {config.DLA_core} is not there")
                return False
        quantized = any(n.op_type == "QuantizeLinear" for n in network._model.graph.node)
        if not typed:
            if quantized and "INT8" not in flags:
                self._listener.log(ILogger.ERROR, "INT8 Q/DQ without the flag INT8")
                return False
            if "INT8" in flags and not quantized:
                self._calibrate(config)
        profiles = config._profiles
        for tensor in network._inputs:
            if -1 in tensor.shape and not any(tensor.name in p._shapes for p in profiles):
                self._listener.log(ILogger.ERROR, f"{tensor.name}: dynamic, and in no profile")
                return False
        return True

    def _calibrate(self, config):
        calibrator = made(config.int8_calibrator, names.IInt8EntropyCalibrator2)
        cache = bytes(calibrator.read_calibration_cache() or b"").decode("ascii")
        major, minor, patch = map(int, VERSION.split(".")[:3])
        release = major * (1000 if major < 10 else 10000) + minor * 100 + patch
        if not cache.startswith(f"TRT-{release}-EntropyCalibration2\n"):
            raise Misuse(f"the calibration cache is of another release: {cache[:40]!r}")

    def _tell(self, monitor):
        if monitor is None:
            return
        made(monitor, names.IProgressMonitor)
        monitor.phase_start("Building Engine", None, 2)
        monitor.phase_start("Timing", "Building Engine", 2)
        assert monitor.step_complete("Timing", 0)
        monitor.phase_finish("Timing")
        assert monitor.step_complete("Building Engine", 0)
        monitor.phase_finish("Building Engine")


MAGIC = b"simulated plan\n"


def _plan(network, config):
    written = io.BytesIO()
    onnx.save(network._model, written)
    about = {
        "device": device_line().decode(),
        "typed": network._is_typed,
        "dtypes": {t.name: t.dtype.name for t in (*network._inputs, *network._outputs)},
        "shapes": config._profiles[0]._shapes,
        "dla": config.DLA_core,
        "verbosity": getattr(config.profiling_verbosity, "name", ""),
        "sha256": hashlib.sha256(written.getvalue()).hexdigest(),
    }
    return MAGIC + json.dumps(about).encode() + b"\n" + written.getvalue()
