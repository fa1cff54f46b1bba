"""Runs a bundle's gate and mask head with onnxruntime, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from runtime.engine import MOST_TILES
from runtime.errors import EngineError
from runtime.machine import lacks_vnni

# Makes the float biases of the TensorRT rendering integers, and clips those that do not fit.
UNFAITHFUL = ["WeightBiasQuantization"]


class OnnxEngine:
    """The engine contract (`runtime.engine.Engine`) over two ONNX files.

    Not `fused`, each Q and DQ is computed on its own, with float16 scales too.

    Raises:
        EngineError: a file is no network that onnxruntime can load.
    """

    tiles = MOST_TILES

    def __init__(self, gate: Path, mask: Path, threads: int = 0, *, fused: bool = True) -> None:
        self._gate = session_of(gate, threads, fused=fused)
        self._mask = session_of(mask, threads, fused=fused)
        self._skips = [tensor.name for tensor in self._mask.get_inputs()]

    @property
    def name(self) -> str:
        """Library, version and device."""
        return engine_name()

    def gate(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Any]:
        """Scores (N, K) and the skips, by name."""
        score, *skips = self._run(self._gate, ["score", *self._skips], {"image": images})
        return score, dict(zip(self._skips, skips, strict=True))

    def mask(self, skips: Any, tile: int) -> npt.NDArray[np.uint8]:
        """The mask of one tile, probability x 255, (K, H, W)."""
        one = {name: skip[tile : tile + 1] for name, skip in skips.items()}
        drawn: npt.NDArray[np.uint8] = self._run(self._mask, ["mask"], one)[0][0]
        return drawn

    def _run(
        self, session: onnxruntime.InferenceSession, outputs: list[str], inputs: dict[str, Any]
    ) -> list[Any]:
        try:
            results: list[Any] = session.run(outputs, inputs)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise EngineError(f"onnxruntime: {_first_line(error)}") from error
        return results


def engine_name() -> str:
    """Library, version and device."""
    return f"onnxruntime {onnxruntime.__version__} cpu"


def session_of(
    network: Path | bytes, threads: int = 0, *, fused: bool = True
) -> onnxruntime.InferenceSession:
    """An ONNX file, or its bytes, ready to run on the CPU; `threads` 0 is one for each core.

    Raises:
        EngineError: it is no network that onnxruntime can load.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not fused:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if lacks_vnni():  # uint8 x int8 kernels would add in 16 bits, which overflow
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(
            network, options, ["CPUExecutionProvider"], disabled_optimizers=UNFAITHFUL
        )
    except Exception as error:  # onnxruntime's errors have no base class of their own
        name = network if isinstance(network, Path) else "a network"
        raise EngineError(f"{name}: onnxruntime cannot load it ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
