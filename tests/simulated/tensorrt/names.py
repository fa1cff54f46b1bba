"""What exists in this release, and the guard on its names."""

import json
import os
from pathlib import Path

import numpy as np
import onnx

VERSION = os.environ.get("SIMULATED_TENSORRT", "10.3.0")
MAJOR = int(VERSION.split(".")[0])
_SURFACE = json.loads((Path(__file__).parents[1] / "api_surface.json").read_text("utf-8"))
OFFERED = frozenset(_SURFACE["classes"])


class Misuse(AssertionError):  # noqa: N818 - the word that the README uses
    """What TensorRT or CUDA forbids, and need not notice."""


def names_of(cls):
    groups = _SURFACE["classes"][cls].items()
    return {n for releases, n in groups if VERSION in releases.split() for n in n.split()}


class Enumerated(int):
    """A member of an enumeration: an integer that knows its name."""

    def __new__(cls, value, owner, name):
        member = super().__new__(cls, value)
        member.owner, member.name = owner, name
        return member

    def __repr__(self):
        return f"{self.owner}.{self.name}"

    def __eq__(self, other):
        return isinstance(other, Enumerated) and (self.owner, self.name) == (
            other.owner,
            other.name,
        )

    def __hash__(self):
        return hash((self.owner, self.name))


def enumeration(cls):
    members = {n: Enumerated(i, cls, n) for i, n in enumerate(sorted(names_of(cls)))}
    return type(cls, (), members)


BuilderFlag = enumeration("BuilderFlag")
NetworkDefinitionCreationFlag = enumeration("NetworkDefinitionCreationFlag")
ProfilingVerbosity = enumeration("ProfilingVerbosity")
LayerInformationFormat = enumeration("LayerInformationFormat")
DeviceType = enumeration("DeviceType")
TensorIOMode = enumeration("TensorIOMode")
DataType = enumeration("DataType")
TensorFormat = enumeration("TensorFormat")
if names_of("ExecutionContextAllocationStrategy"):
    ExecutionContextAllocationStrategy = enumeration("ExecutionContextAllocationStrategy")

TYPES = {
    onnx.TensorProto.UINT8: ("UINT8", np.uint8),
    onnx.TensorProto.INT8: ("INT8", np.int8),
    onnx.TensorProto.FLOAT: ("FLOAT", np.float32),
    onnx.TensorProto.FLOAT16: ("HALF", np.float16),
}
NUMPY = dict(TYPES.values())


class Simulated:
    """Offers and takes the names of this release; another is an AttributeError, as in the real."""

    def __getattribute__(self, name):
        cls = object.__getattribute__(self, "__class__").__name__
        if not name.startswith("_") and name not in names_of(cls):
            raise AttributeError(f"TensorRT {VERSION}: {cls} has no {name}")
        return object.__getattribute__(self, name)

    def __getattr__(self, name):
        cls = type(self).__name__
        if name in names_of(cls):
            raise Misuse(f"{cls}.{name} is real, but not simulated")
        raise AttributeError(f"TensorRT {VERSION}: {cls} has no {name}")

    def __setattr__(self, name, value):
        cls = type(self).__name__
        if not name.startswith("_") and name not in names_of(cls):
            raise AttributeError(f"TensorRT {VERSION}: {cls} has no {name}")
        object.__setattr__(self, name, value)


class Subclassed:
    """A base for the caller's own class, which must call its __init__."""

    _is_made = False

    def __init__(self):
        self._is_made = True


class ILogger(Subclassed):
    """Where messages go."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = (
        Enumerated(i, "Severity", n)
        for i, n in enumerate(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"))
    )


if names_of("IProgressMonitor"):

    class IProgressMonitor(Subclassed):
        """Whom the builder tells how far it is."""


if names_of("IInt8EntropyCalibrator2"):

    class IInt8EntropyCalibrator2(Subclassed):
        """Whom the builder asks for ranges."""


def made(thing, kind):
    if not isinstance(thing, kind) or not thing._is_made:
        raise Misuse(f"{thing!r}: {kind.__name__}.__init__ was not called")
    return thing
