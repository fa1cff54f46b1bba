"""A TensorRT plan, loaded, and bound to shapes and addresses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.errors import EngineError
from runtime.gpu import Gpu, tensorrt


@dataclass(frozen=True)
class Scratch:
    """Device memory that networks share, one after the other."""

    address: int
    size: int


class Bound:
    """A network with shapes, addresses and scratch, ready to be enqueued or captured."""

    def __init__(self, network: "Network", context: Any, gpu: Gpu) -> None:
        self._network, self._context, self._gpu = network, context, gpu
        self.copies: list[tuple[int, int, int]] = []
        self.graph = 0

    def enqueue(self) -> None:
        """Enqueue its work on the GPU's stream.

        Raises:
            RuntimeError: TensorRT does not take it.
        """
        for to, start, size in self.copies:
            self._gpu.copy(to, start, size)
        if not self._context.execute_async_v3(self._gpu.stream):
            raise RuntimeError(f"{self._network.name} was not enqueued ({self._network.errors()})")


class Network:
    """A plan, loaded."""

    def __init__(self, name: str, plan: bytes, logger: Any, dla_core: int | None) -> None:
        trt = tensorrt()
        self.name, self._logger = name, logger
        self._runtime = trt.Runtime(logger)
        if dla_core is not None:
            self._runtime.DLA_core = dla_core
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"{name}.plan: TensorRT cannot load it ({self.errors()})")
        self._modes = {
            tensor: self._engine.get_tensor_mode(tensor)
            for tensor in map(self._engine.get_tensor_name, range(self._engine.num_io_tensors))
        }
        self.inputs = [t for t, mode in self._modes.items() if mode == trt.TensorIOMode.INPUT]
        for tensor in self._modes:
            if self._engine.get_tensor_format(tensor) != trt.TensorFormat.LINEAR:
                raise EngineError(f"{name}.plan: {tensor} is not linear; build it anew")

    @property
    def scratch(self) -> int:
        """Bytes of device memory that a context needs."""
        if hasattr(self._engine, "device_memory_size_v2"):
            return int(self._engine.device_memory_size_v2)
        return int(self._engine.device_memory_size)

    def errors(self) -> str:
        """What TensorRT last said of it."""
        return str(self._logger.said)

    def most(self, tensor: str) -> int:
        """The largest batch."""
        return int(self._engine.get_tensor_profile_shape(tensor, 0)[2][0])

    def least(self, tensor: str) -> int:
        """The smallest batch: on a DLA the largest."""
        return int(self._engine.get_tensor_profile_shape(tensor, 0)[0][0])

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Of one tile."""
        return tuple(map(int, self._engine.get_tensor_shape(tensor)))[1:]

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """As numpy has it."""
        trt = tensorrt()
        return np.dtype(
            {
                trt.DataType.UINT8: np.uint8,
                trt.DataType.INT8: np.int8,
                trt.DataType.HALF: np.float16,
                trt.DataType.FLOAT: np.float32,
            }[self._engine.get_tensor_dtype(tensor)]
        )

    def size(self, tensor: str) -> int:
        """Bytes of one tile."""
        return math.prod(self.shape(tensor)) * self.dtype(tensor).itemsize

    def layers(self) -> str:
        """What TensorRT tells of its layers, as JSON."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(tensorrt().LayerInformationFormat.JSON))

    def bind(self, scratch: Scratch, addresses: Mapping[str, int], tiles: int, gpu: Gpu) -> Bound:
        """A context of its own for so many tiles at these addresses."""
        context = self._context(scratch)
        for name in self.inputs:
            if not context.set_input_shape(name, (tiles, *self.shape(name))):
                raise EngineError(f"{self.name}.plan takes no {tiles} tiles ({self.errors()})")
        for name in self._modes:
            if not context.set_tensor_address(name, addresses[name]):
                raise EngineError(f"{self.name}.plan: {name} has no address ({self.errors()})")
        return Bound(self, context, gpu)

    def _context(self, scratch: Scratch) -> Any:
        trt = tensorrt()
        if hasattr(trt, "ExecutionContextAllocationStrategy"):  # 10 on
            managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
            context = self._engine.create_execution_context(managed)
        else:
            context = self._engine.create_execution_context_without_device_memory()
        if context is None:
            raise RuntimeError(f"no execution context for {self.name} ({self.errors()})")
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(scratch.address, scratch.size)
        else:
            context.device_memory = scratch.address
        return context
