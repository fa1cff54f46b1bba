"""From a plan to numbers."""

import ctypes
import hashlib
import json
import os
import weakref

import numpy as np
import onnxruntime
from pycuda import driver

from tensorrt.building import MAGIC, device_line
from tensorrt.names import (
    NUMPY,
    DataType,
    ILogger,
    LayerInformationFormat,
    Misuse,
    Simulated,
    TensorFormat,
    TensorIOMode,
    made,
)

ALIGNMENT = 256


class Runtime(Simulated):
    """Loads plans."""

    DLA_core = None

    def __init__(self, logger):
        self._listener = made(logger, ILogger)

    def deserialize_cuda_engine(self, plan):
        plan = bytes(plan)
        header, _, network = plan.removeprefix(MAGIC).partition(b"\n")
        about = json.loads(header) if plan.startswith(MAGIC) and network else {}
        if about.get("sha256") != hashlib.sha256(network).hexdigest():
            self._listener.log(ILogger.ERROR, "simulated: the plan is damaged")
            return None
        if about["device"] != device_line().decode():
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


class ICudaEngine(Simulated):
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


class EngineInspector(Simulated):
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

    enqueue(copy, stream)


def enqueue(work, stream):
    """Enqueue what is computed when somebody waits."""
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


class IExecutionContext(Simulated):
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

        enqueue(work, stream_handle)
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
        itemsize = np.dtype(NUMPY[self._engine._about["dtypes"][name]]).itemsize
        return int(np.prod(self.get_tensor_shape(name))) * itemsize

    def _array(self, name):
        size = self._bytes(name)
        address = self._addresses[name]
        if _room(address) < size:
            raise Misuse(f"{name}: its buffer was gone when the work ran")
        raw = (ctypes.c_uint8 * size).from_address(address)
        dtype = NUMPY[self._engine._about["dtypes"][name]]
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
