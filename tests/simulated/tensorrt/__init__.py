"""A strict stand-in for TensorRT's Python bindings: the names of one release, and no others.

`SIMULATED_TENSORRT` says which release. It parses with onnx, runs with onnxruntime, and demands
correct use: what TensorRT would answer with an error, a crash or wrong numbers is a `Misuse`. How
fast anything is, or what a real builder makes of a network, it cannot tell.
"""

from pycuda import driver

from tensorrt import building, names, running
from tensorrt.names import Misuse, Simulated, names_of
from tensorrt.running import enqueue, enqueue_copy, misuse, require_none_alive

__all__ = [
    "Misuse",
    "__version__",
    "driver",
    "enqueue",
    "enqueue_copy",
    "misuse",
    "require_none_alive",
]

__version__ = names.VERSION

for _module in (names, building, running):
    globals().update({name: it for name, it in vars(_module).items() if name in names.OFFERED})

# What the classes have beyond this release goes.
for _class in Simulated.__subclasses__():
    for _name in set(vars(_class)) - names_of(_class.__name__):
        if not _name.startswith("_"):
            delattr(_class, _name)
