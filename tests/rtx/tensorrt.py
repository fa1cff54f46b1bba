"""TensorRT-RTX under TensorRT's name: `PYTHONPATH=tests/rtx` where only that is installed."""

import sys

import tensorrt_rtx_bindings as rtx

rtx.__version__ = f"11.4.rtx-{rtx.__version__}"  # the release whose API it has
sys.modules[__name__] = rtx
