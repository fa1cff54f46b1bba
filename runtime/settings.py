"""What a run may be told, in plain data that loads nothing."""

from enum import Enum
from pathlib import Path

ENGINES = Path.home() / ".cache" / "defectgate"


class EngineKind(str, Enum):
    """What may run a bundle."""

    AUTO = "auto"
    TENSORRT = "tensorrt"
    ONNXRUNTIME = "onnxruntime"
