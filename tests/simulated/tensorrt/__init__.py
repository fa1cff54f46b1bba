"""A strict stand-in for TensorRT's Python bindings: the names of one release, and no others.

`SIMULATED_TENSORRT` says which release. It parses with onnx, runs with onnxruntime, and demands
correct use: what TensorRT would answer with an error, a crash or wrong numbers is a `Misuse`. How
fast anything is, or what a real builder makes of a network, it cannot tell.
"""

import ctypes
import hashlib
import io
import json
import os
import weakref
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from pycuda import driver

__version__ = os.environ.get("SIMULATED_TENSORRT", "10.3.0")
_MAJOR = int(__version__.split(".")[0])
_SURFACE = json.loads((Path(__file__).parents[1] / "api_surface.json").read_text("utf-8"))
ALIGNMENT = 256


class Misuse(AssertionError):  # noqa: N818 - the word that the README uses
    """What TensorRT or CUDA forbids, and need not notice."""


def _names(cls):
    groups = _SURFACE["classes"][cls].items()
    return {n for releases, n in groups if __version__ in releases.split() for n in n.split()}


class _Enum(int):
    """A member of an enumeration: an integer that knows its name."""

    def __new__(cls, value, owner, name):
        member = super().__new__(cls, value)
        member.owner, member.name = owner, name
        return member

    def __repr__(self):
        return f"{self.owner}.{self.name}"

    def __eq__(self, other):
        return isinstance(other, _Enum) and (self.owner, self.name) == (other.owner, other.name)

    def __hash__(self):
        return hash((self.owner, self.name))


def _enum(cls):
    members = {n: _Enum(i, cls, n) for i, n in enumerate(sorted(_names(cls)))}
    return type(cls, (), members)


BuilderFlag = _enum("BuilderFlag")
NetworkDefinitionCreationFlag = _enum("NetworkDefinitionCreationFlag")
ProfilingVerbosity = _enum("ProfilingVerbosity")
LayerInformationFormat = _enum("LayerInformationFormat")
DeviceType = _enum("DeviceType")
TensorIOMode = _enum("TensorIOMode")
DataType = _enum("DataType")
TensorFormat = _enum("TensorFormat")
if _names("ExecutionContextAllocationStrategy"):
    ExecutionContextAllocationStrategy = _enum("ExecutionContextAllocationStrategy")

_TYPES = {
    onnx.TensorProto.UINT8: ("UINT8", np.uint8),
    onnx.TensorProto.INT8: ("INT8", np.int8),
    onnx.TensorProto.FLOAT: ("FLOAT", np.float32),
    onnx.TensorProto.FLOAT16: ("HALF", np.float16),
}
_NUMPY = dict(_TYPES.values())


class _Simulated:
    """Offers and takes the names of this release; another is an AttributeError, as in the real."""

    def __getattribute__(self, name):
        cls = object.__getattribute__(self, "__class__").__name__
        if not name.startswith("_") and name not in _names(cls):
            raise AttributeError(f"TensorRT {__version__}: {cls} has no {name}")
        return object.__getattribute__(self, name)

    def __getattr__(self, name):
        cls = type(self).__name__
        if name in _names(cls):
            raise Misuse(f"{cls}.{name} is real, but not simulated")
        raise AttributeError(f"TensorRT {__version__}: {cls} has no {name}")

    def __setattr__(self, name, value):
        cls = type(self).__name__
        if not name.startswith("_") and name not in _names(cls):
            raise AttributeError(f"TensorRT {__version__}: {cls} has no {name}")
        object.__setattr__(self, name, value)


class _Subclassed:
    """A base for the caller's own class, which must call its __init__."""

    _is_made = False

    def __init__(self):
        self._is_made = True


class ILogger(_Subclassed):
    """Where messages go."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = (
        _Enum(i, "Severity", n)
        for i, n in enumerate(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"))
    )


if _names("IProgressMonitor"):

    class IProgressMonitor(_Subclassed):
        """Whom the builder tells how far it is."""


if _names("IInt8EntropyCalibrator2"):

    class IInt8EntropyCalibrator2(_Subclassed):
        """Whom the builder asks for ranges."""


def _made(thing, kind):
    if not isinstance(thing, kind) or not thing._is_made:
        raise Misuse(f"{thing!r}: {kind.__name__}.__init__ was not called")
    return thing


class IHostMemory(_Simulated):
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


class ITensor(_Simulated):
    """An input or output of a network."""

    def __init__(self, value):
        self._value = value
        self._name = value.name
        self._dtype = getattr(DataType, _TYPES[value.type.tensor_type.elem_type][0])

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


class INetworkDefinition(_Simulated):
    """What a parser fills."""

    def __init__(self, flags):
        self._flags = flags
        self._model = None
        self._parser = None
        self._inputs, self._outputs = [], []

    @property
    def _is_typed(self):
        if _MAJOR >= 11:
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


class ParserError(_Simulated):
    """What a parser would not take."""

    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text


class OnnxParser(_Simulated):
    """onnx's own checker, and the rules on opsets and zero points."""

    def __init__(self, network, logger):
        _made(logger, ILogger)
        self._network = network
        self._error = None

    def parse(self, content):
        try:
            model = onnx.load_from_string(bytes(content))
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # noqa: BLE001 - onnx's errors have no base class
            self._error = str(error).partition("\n")[0]
            return False
        most = 17 if _MAJOR < 10 else 20
        if model.opset_import[0].version > most and _MAJOR < 11:
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


class IOptimizationProfile(_Simulated):
    """The shapes of the inputs."""

    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002 - TensorRT's names
        self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class ITimingCache(_Simulated):
    """What an earlier build timed."""

    def __init__(self, content):
        self._content = content

    def serialize(self):
        return IHostMemory(self._content)


_HOST = f"{__version__}/".encode()


class IBuilderConfig(_Simulated):
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
        return ITimingCache(content or b"timing " + _device())

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache._content != b"timing " + _device() and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache


def _device():
    device = driver.Device(0)
    return f"{__version__} {device.name()} {device.compute_capability()}".encode()


class Builder(_Simulated):
    """Makes plans: what was parsed, and for what."""

    def __init__(self, logger):
        self._listener = _made(logger, ILogger)

    def create_network(self, flags=0):
        if _MAJOR < 10 and not flags & (1 << NetworkDefinitionCreationFlag.EXPLICIT_BATCH):
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
        self._tell(config.progress_monitor if _MAJOR >= 10 else None)
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
        calibrator = _made(config.int8_calibrator, IInt8EntropyCalibrator2)
        cache = bytes(calibrator.read_calibration_cache() or b"").decode("ascii")
        major, minor, patch = map(int, __version__.split(".")[:3])
        release = major * (1000 if major < 10 else 10000) + minor * 100 + patch
        if not cache.startswith(f"TRT-{release}-EntropyCalibration2\n"):
            raise Misuse(f"the calibration cache is of another release: {cache[:40]!r}")

    def _tell(self, monitor):
        if monitor is None:
            return
        _made(monitor, IProgressMonitor)
        monitor.phase_start("Building Engine", None, 2)
        monitor.phase_start("Timing", "Building Engine", 2)
        assert monitor.step_complete("Timing", 0)
        monitor.phase_finish("Timing")
        assert monitor.step_complete("Building Engine", 0)
        monitor.phase_finish("Building Engine")


_MAGIC = b"simulated plan\n"


def _plan(network, config):
    written = io.BytesIO()
    onnx.save(network._model, written)
    about = {
        "device": _device().decode(),
        "typed": network._is_typed,
        "dtypes": {t.name: t.dtype.name for t in (*network._inputs, *network._outputs)},
        "shapes": config._profiles[0]._shapes,
        "dla": config.DLA_core,
        "verbosity": getattr(config.profiling_verbosity, "name", ""),
        "sha256": hashlib.sha256(written.getvalue()).hexdigest(),
    }
    return _MAGIC + json.dumps(about).encode() + b"\n" + written.getvalue()


class Runtime(_Simulated):
    """Loads plans."""

    DLA_core = None

    def __init__(self, logger):
        self._listener = _made(logger, ILogger)

    def deserialize_cuda_engine(self, plan):
        plan = bytes(plan)
        header, _, network = plan.removeprefix(_MAGIC).partition(b"\n")
        about = json.loads(header) if plan.startswith(_MAGIC) and network else {}
        if about.get("sha256") != hashlib.sha256(network).hexdigest():
            self._listener.log(ILogger.ERROR, "simulated: the plan is damaged")
            return None
        if about["device"] != _device().decode():
            self._listener.log(ILogger.ERROR, f"simulated: a plan of {about['device']}")
            return None
        if about["dla"] != self.DLA_core:
            self._listener.log(ILogger.ERROR, "simulated: a plan of another DLA core")
            return None
        if not driver.library.standin_context():
            raise Misuse("a plan was loaded without a CUDA context")
        return ICudaEngine(self, about, network)


_SESSIONS = {}
_ALIVE = weakref.WeakKeyDictionary()  # the CUDA context of each engine and context


def _session(network, *, typed):
    key = hashlib.sha256(network).hexdigest()
    if key not in _SESSIONS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        if typed:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        disabled = ["WeightBiasQuantization"]
        _SESSIONS[key] = onnxruntime.InferenceSession(
            network, options, ["CPUExecutionProvider"], disabled_optimizers=disabled
        )
    return _SESSIONS[key]


class ICudaEngine(_Simulated):
    """A plan that was loaded; it keeps its runtime alive."""

    def __init__(self, runtime, about, network):
        self._runtime, self._about = runtime, about
        _ALIVE[self] = driver.library.standin_context()
        self._session = _session(network, typed=about["typed"])
        self._sides = {
            t.name: (t, mode)
            for mode, tensors in (
                ("INPUT", self._session.get_inputs()),
                ("OUTPUT", self._session.get_outputs()),
            )
            for t in tensors
        }

    @property
    def num_io_tensors(self):
        return len(self._sides)

    def get_tensor_name(self, index):
        return list(self._sides)[index]

    def get_tensor_mode(self, name):
        return getattr(TensorIOMode, self._sides[name][1])

    def get_tensor_dtype(self, name):
        return getattr(DataType, self._about["dtypes"][name])

    def get_tensor_format(self, name):
        assert name in self._sides
        return TensorFormat.LINEAR

    def get_tensor_shape(self, name):
        return tuple(d if isinstance(d, int) else -1 for d in self._sides[name][0].shape)

    def get_tensor_profile_shape(self, name, profile_index):
        assert profile_index == 0
        return [tuple(shape) for shape in self._about["shapes"][name]]

    @property
    def _scratch(self):
        return 4096 + 256 * self.num_io_tensors

    @property
    def device_memory_size(self):
        return self._scratch

    @property
    def device_memory_size_v2(self):
        return self._scratch

    def create_execution_context_without_device_memory(self):
        return IExecutionContext(self, owns_scratch=False)

    def create_execution_context(self, strategy=None):
        mine = strategy is None or strategy.name != "USER_MANAGED"
        return IExecutionContext(self, owns_scratch=mine)

    def create_engine_inspector(self):
        return EngineInspector(self)


class EngineInspector(_Simulated):
    """The layers of an engine."""

    def __init__(self, engine):
        self._engine = engine

    def get_engine_information(self, format):  # noqa: A002 - TensorRT's name
        assert format == LayerInformationFormat.JSON
        detailed = self._engine._about["verbosity"] == "DETAILED"
        return json.dumps({"Layers": [{"Name": "simulated"}] if detailed else ["simulated"]})


def require_none_alive(context):
    """No engine and no execution context outlives its CUDA context; `pycuda.driver` asks."""
    if context in _ALIVE.values():
        _RAISED.append(Misuse("TensorRT's objects outlived the CUDA context"))


_WORKS = {}
_BUSY_SCRATCH = {}


def enqueue_copy(to, start, size, stream):
    """Enqueue a copy in device memory, for `pycuda.driver`."""

    def copy():
        for address in (to, start):
            if driver.library.standin_room(ctypes.c_uint64(address)) < size:
                raise Misuse("a copy from or to memory that is not alive")
        ctypes.memmove(to, start, size)

    _enqueue(copy, stream)


def _enqueue(work, stream):
    number = len(_WORKS) + 1
    _WORKS[number] = work
    handle = ctypes.c_void_p(stream)
    driver.check(driver.library.standin_enqueue(handle, ctypes.c_uint64(number)), "enqueue")


_RAISED = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64)
def _work(number):
    try:
        _WORKS[number]()
    except BaseException as error:  # noqa: BLE001 - raised again where the test looks
        _RAISED.append(error)
        return 719
    return 0


driver.library.standin_on_work(_work)


def misuse():
    """What was misused so far, in a line; None where nothing was. Forgets it."""
    said = driver.library.standin_misuse().decode() or None
    raised = next((str(error) for error in _RAISED), None)
    _RAISED.clear()
    driver.library.standin_reset()
    return raised or said


class IExecutionContext(_Simulated):
    """An engine with shapes and addresses."""

    def __init__(self, engine, *, owns_scratch):
        self._engine, self._owns_scratch = engine, owns_scratch
        _ALIVE[self] = driver.library.standin_context()
        self._scratch = None
        self._shapes, self._addresses = {}, {}
        self._is_captured = self._has_run = False
        self._stream = None

    def _frozen(self):
        if self._is_captured:
            raise Misuse("shapes, addresses or scratch changed after the capture")

    def _set_scratch(self, memory, size):
        self._frozen()
        if self._owns_scratch:
            raise Misuse("scratch for a context that has its own")
        need = self._engine._scratch
        if memory % ALIGNMENT or size < need or _room(memory) < need:
            raise Misuse(f"scratch: {size} bytes at {memory:#x}, {need} are needed, aligned")
        self._scratch = memory

    @property
    def device_memory(self):
        raise AttributeError("device_memory can only be written")

    @device_memory.setter
    def device_memory(self, memory):
        self._set_scratch(memory, self._engine._scratch)

    def set_device_memory(self, memory, size):
        self._set_scratch(memory, size)

    def set_input_shape(self, name, shape):
        self._frozen()
        least, _, most = self._engine._about["shapes"][name]
        if not all(a <= s <= b for a, s, b in zip(least, shape, most, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, memory):
        self._frozen()
        if name not in self._engine._sides:
            return False
        if memory % ALIGNMENT:
            raise Misuse(f"{name}: address {memory:#x} is not aligned to {ALIGNMENT} bytes")
        self._addresses[name] = memory
        return True

    def infer_shapes(self):
        inputs = self._engine._session.get_inputs()
        return [t.name for t in inputs if t.name not in self._shapes]

    def get_tensor_shape(self, name):
        batch = next(iter(self._shapes.values()))[0]
        return (batch, *self._engine._sides[name][0].shape[1:])

    def execute_async_v3(self, stream_handle):
        self._require_ready()
        if driver.library.standin_is_capturing(ctypes.c_void_p(stream_handle)):
            if not self._has_run:
                raise Misuse("captured before it was enqueued once")
            self._is_captured = True
        place = (self._scratch, driver.library.standin_context())
        if _BUSY_SCRATCH.setdefault(place, stream_handle) != stream_handle:
            raise Misuse("two streams share scratch memory")
        self._has_run = True
        alive = weakref.ref(self)
        fault = os.environ.get("SIMULATED_CONTEXT_FAULT")
        if fault == "refuse":
            return False

        def work():
            context = alive()
            if context is None:
                raise Misuse("a graph was launched whose execution context is gone")
            context._run()

        _enqueue(work, stream_handle)
        return True

    def _require_ready(self):
        missing = set(self._engine._sides) - set(self._addresses)
        if missing or self.infer_shapes():
            raise Misuse(f"enqueued without {sorted(missing) or self.infer_shapes()}")
        if not self._owns_scratch and self._scratch is None:
            raise Misuse("enqueued without scratch memory")
        for name, address in self._addresses.items():
            if _room(address) < self._bytes(name):
                raise Misuse(f"{name}: its buffer is not alive, or too small")

    def _bytes(self, name):
        itemsize = np.dtype(_NUMPY[self._engine._about["dtypes"][name]]).itemsize
        return int(np.prod(self.get_tensor_shape(name))) * itemsize

    def _array(self, name):
        size = self._bytes(name)
        address = self._addresses[name]
        if _room(address) < size:
            raise Misuse(f"{name}: its buffer was gone when the work ran")
        raw = (ctypes.c_uint8 * size).from_address(address)
        dtype = _NUMPY[self._engine._about["dtypes"][name]]
        return np.frombuffer(raw, dtype).reshape(self.get_tensor_shape(name))

    def _run(self):
        if self._scratch is not None and _room(self._scratch) < self._engine._scratch:
            raise Misuse("the scratch memory was gone when the work ran")
        sides = self._engine._sides
        inputs, outputs = (
            {name: t for name, (t, mode) in sides.items() if mode == wanted}
            for wanted in ("INPUT", "OUTPUT")
        )
        fed = {name: self._array(name).astype(_ort_type(t)) for name, t in inputs.items()}
        made = self._engine._session.run(list(outputs), fed)
        for name, array in zip(outputs, made, strict=True):
            self._array(name)[...] = array
        if self._scratch is not None:
            ctypes.memset(self._scratch, 0x5A, self._engine._scratch)
        poison = os.environ.get("SIMULATED_POISON")
        if poison and "score" in outputs:
            self._array("score")[...] = np.float32(poison)


def _ort_type(tensor):
    name = tensor.type.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32"}.get(name, name))


def _room(address):
    return driver.library.standin_room(ctypes.c_uint64(address))


for _cls in _Simulated.__subclasses__():
    for _name in set(vars(_cls)) - _names(_cls.__name__):
        if not _name.startswith("_"):
            delattr(_cls, _name)
