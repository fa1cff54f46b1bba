"""Every name of TensorRT that our code uses exists in each release that it is for."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SURFACE = json.loads(
    (ROOT / "tests" / "simulated" / "api_surface.json").read_text(encoding="utf-8")
)
RELEASES = SURFACE["releases"]
FILES = ["export/plan.py", "runtime/gpu.py", "runtime/network.py"]
# What our variables are, whichever function they stand in.
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "flags": "NetworkDefinitionCreationFlag",
    "profile": "IOptimizationProfile",
    "tensor": "ITensor",
    "cache": "ITimingCache",
    "inspector": "EngineInspector",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "_engine": "ICudaEngine",
    "_runtime": "Runtime",
}
NOT_TENSORRT = {"cache": {"read_text"}, "context": {"detach"}, "network": {"name", "errors"}}
# Used only where a release has it: by an `if` on the release, or on the name itself.
ONLY_IN = {
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"): ["8.6.1"],
    ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"): RELEASES[2:],
    ("BuilderFlag", "FP16"): RELEASES[:4],
    ("BuilderFlag", "INT8"): RELEASES[:4],
    ("IBuilderConfig", "int8_calibrator"): RELEASES[:4],
    ("IInt8EntropyCalibrator2", "__init__"): RELEASES[:4],
    ("IBuilderConfig", "progress_monitor"): RELEASES[1:],
    ("IProgressMonitor", "__init__"): RELEASES[1:],
    ("ICudaEngine", "create_execution_context_without_device_memory"): ["8.6.1"],
    ("ICudaEngine", "device_memory_size"): ["8.6.1"],
    ("ICudaEngine", "device_memory_size_v2"): RELEASES[1:],
    ("IExecutionContext", "set_device_memory"): RELEASES[1:],
    ("ExecutionContextAllocationStrategy", "__init__"): RELEASES[1:],
    ("ExecutionContextAllocationStrategy", "USER_MANAGED"): RELEASES[1:],
}
MODULE = {"__version__"}


def used_names():
    """(class, name) of every attribute that our code takes of TensorRT, with where."""
    found = {}
    for file in FILES:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            pair = _pair(node)
            if pair:
                found.setdefault(pair, f"{file}:{node.lineno}")
    return found


def _pair(node):
    if not isinstance(node, ast.Attribute):
        return None
    owner = node.value
    if _is_module(owner):
        return None if node.attr in MODULE else (node.attr, "__init__")
    if isinstance(owner, ast.Attribute) and _is_module(owner.value):
        return owner.attr, node.attr
    name = getattr(owner, "id", None) or getattr(owner, "attr", None)
    if name in CLASSES and node.attr not in NOT_TENSORRT.get(name, set()):
        return CLASSES[name], node.attr
    return None


def _is_module(node):
    """`trt`, or a call of `tensorrt()`."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", None) == "tensorrt"
    return getattr(node, "id", None) == "trt"


def names_of(release, cls):
    groups = SURFACE["classes"][cls].items()
    return {n for releases, names in groups if release in releases.split() for n in names.split()}


@pytest.mark.parametrize("release", RELEASES)
def test_every_name_is_there_in_the_releases_that_it_is_used_in(release):
    used = used_names()
    assert len(used) > 60
    for (cls, name), where in used.items():
        if release not in ONLY_IN.get((cls, name), RELEASES):
            continue
        there = names_of(release, cls)
        assert there, f"{where}: TensorRT {release} has no {cls}"
        assert name == "__init__" or name in there, f"{where}: {release} has no {cls}.{name}"


def test_what_is_used_in_some_releases_only_is_used():
    assert set(ONLY_IN) <= set(used_names())
