"""What a board has, what it lacks, and the command that mends it. Everything is only read."""

import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from runtime.errors import DefectgateError
from runtime.machine import (
    ROOT,
    State,
    board_model,
    l4t_release,
    lacks_vnni,
    state_of_machine,
    text_of,
)
from runtime.record import write_record

SCHEMA = 1
OLDEST_L4T = 36  # JetPack 6; JetPack 5 has Python 3.8
# By L4T, where the package nvidia-jetpack does not say it.
JETPACKS = {"35": "5", "36.3": "6.0", "36": "6.1 or 6.2", "38": "7.0 or 7.1", "39": "7.2"}
HOT_C, TOO_HOT_C = 80.0, 95.0
ENOUGH_MEMORY_MB = 1500
JETPACK = "sudo apt-get update && sudo apt-get install -y nvidia-jetpack"
INSTALL = "jetson/install.sh"  # in a checkout, which a board has
LIBGL = "sudo apt-get install -y libgl1 libglib2.0-0"


class Rank(str, Enum):
    """Good; worth knowing; or in the way of an inspection."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and the command that mends it where it is not `ok`."""

    about: str
    rank: Rank
    found: str
    mend: str = ""

    def __str__(self) -> str:
        """One line for a person."""
        mend = f"; mend: {self.mend}" if self.mend else ""
        return f"{self.rank.value:5} {self.about:10} {self.found}{mend}"


@dataclass(frozen=True)
class Findings:
    """The content of `doctor --json`."""

    schema: int
    findings: tuple[Finding, ...]


def examine(root: Path = ROOT, bundle: Path | None = None) -> list[Finding]:
    """What there is to say of the machine whose files are under `root`, and of the bundle."""
    jetson = l4t_release(root) is not None
    state = state_of_machine(root)
    return [
        _board(root),
        *(_jetpack(root) if jetson else ()),
        *(() if jetson else _processor(root)),
        _python(),
        _cuda(root, jetson=jetson),
        _tensorrt(root, jetson=jetson),
        _pycuda(jetson=jetson),
        *(_power(state) if jetson else ()),
        _clocks(state, jetson=jetson),
        _thermals(state),
        _memory(root),
        *_cameras(root),
        _wheel(),
        *(_bundle(bundle) if bundle else ()),
    ]


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write them as JSON."""
    write_record(path, Findings(SCHEMA, tuple(findings)))


def _board(root: Path) -> Finding:
    model, l4t = board_model(root), l4t_release(root)
    if l4t is None:
        return Finding("board", Rank.NOTE, f"not a Jetson ({model or platform.machine()})")
    return Finding("board", Rank.OK, f"{model or 'a Jetson'}, L4T {l4t}")


def _jetpack(root: Path) -> Iterator[Finding]:
    l4t = l4t_release(root) or ""
    installed = re.search(
        r"^Package: nvidia-jetpack\nStatus: install ok installed\n(?:.+\n)*?Version: ([\w.]+)",
        text_of(root / "var/lib/dpkg/status") or "",
        re.MULTILINE,
    )
    major, minor = l4t.split(".")[:2]
    known = JETPACKS.get(f"{major}.{minor}") or JETPACKS.get(major) or "unknown"
    if int(major) < OLDEST_L4T:
        mend = "flash JetPack 6.2 or later with NVIDIA's SDK Manager or an SD card image"
        yield Finding("JetPack", Rank.FAULT, f"{known}, whose Python is too old", mend)
    elif installed is None:
        yield Finding("JetPack", Rank.NOTE, f"{known} by L4T; its libraries are not all", JETPACK)
    else:
        yield Finding("JetPack", Rank.OK, installed[1])


def _processor(root: Path) -> Iterator[Finding]:
    if lacks_vnni(root):
        found = "has no VNNI, so onnxruntime's INT8 is exact but hardly faster than float"
        yield Finding("processor", Rank.NOTE, found)


def _python() -> Finding:
    return Finding("Python", Rank.OK, f"{platform.python_version()} in {sys.prefix}")


def _cuda(root: Path, *, jetson: bool) -> Finding:
    listed = text_of(root / "usr/local/cuda/version.json") or ""
    found = re.search(r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)"', listed)
    if found:
        return Finding("CUDA", Rank.OK, found[1])
    if jetson:
        return Finding("CUDA", Rank.FAULT, "no /usr/local/cuda", JETPACK)
    return Finding("CUDA", Rank.NOTE, "none; the onnxruntime engine needs none")


def _tensorrt(root: Path, *, jetson: bool) -> Finding:
    if find_spec("tensorrt"):
        return Finding("TensorRT", Rank.OK, _version("tensorrt"))
    system = sorted(root.glob("usr/lib/python3*/dist-packages/tensorrt-*.dist-info"))
    if system:
        found = system[-1].name.removeprefix("tensorrt-").removesuffix(".dist-info")
        return Finding("TensorRT", Rank.FAULT, f"{found}, which this Python does not see", INSTALL)
    if jetson:
        return Finding("TensorRT", Rank.FAULT, "none", JETPACK)
    return Finding("TensorRT", Rank.NOTE, "none; the onnxruntime engine needs none")


def _pycuda(*, jetson: bool) -> Finding:
    if find_spec("pycuda"):
        return Finding("pycuda", Rank.OK, _version("pycuda"))
    if jetson:
        return Finding("pycuda", Rank.FAULT, "none", INSTALL)
    return Finding("pycuda", Rank.NOTE, "none; the onnxruntime engine needs none")


def _version(package: str) -> str:
    with suppress(PackageNotFoundError):
        if found := version(package):  # nothing, where a link to its record leads nowhere
            return found
    return "of an unknown version"


def _power(state: State) -> Iterator[Finding]:
    if state.power_mode is None:
        yield Finding("power", Rank.NOTE, "nvpmodel does not answer", "sudo nvpmodel -q")
    elif state.power_mode.startswith("MAXN"):
        yield Finding("power", Rank.OK, state.power_mode)
    else:
        mend = "sudo nvpmodel -p --verbose lists the modes, sudo nvpmodel -m NUMBER sets one"
        yield Finding("power", Rank.NOTE, f"{state.power_mode}; MAXN is the fastest", mend)


def _clocks(state: State, *, jetson: bool) -> Finding:
    if state.clocks_locked is None:
        return Finding("clocks", Rank.NOTE, "unknown")
    shown = ", ".join(f"{name} {mhz} MHz" for name, mhz in sorted(state.clocks_mhz.items()))
    if state.clocks_locked:
        return Finding("clocks", Rank.OK, f"locked, {shown}")
    mend = "sudo jetson_clocks, to measure" if jetson else ""
    return Finding("clocks", Rank.NOTE, f"not locked, {shown}", mend)


def _thermals(state: State) -> Finding:
    if not state.temperatures_c:
        return Finding("thermals", Rank.NOTE, "no zone answers")
    zone, hottest = max(state.temperatures_c.items(), key=lambda pair: pair[1])
    found = f"{zone} {hottest:.0f} degrees, the hottest of {len(state.temperatures_c)}"
    if hottest < HOT_C:
        return Finding("thermals", Rank.OK, found)
    rank = Rank.NOTE if hottest < TOO_HOT_C else Rank.FAULT
    mend = "sudo systemctl restart nvfancontrol; give it air, or a lower power mode"
    return Finding("thermals", rank, found, mend)


def _memory(root: Path) -> Finding:
    sizes = dict(re.findall(r"(\w+):\s*(\d+) kB", text_of(root / "proc/meminfo") or ""))
    free, whole = (int(sizes.get(name, 0)) // 1024 for name in ("MemAvailable", "MemTotal"))
    found = f"{free} of {whole} MB are free"
    if free >= ENOUGH_MEMORY_MB:
        return Finding("memory", Rank.OK, found)
    mend = "sudo systemctl set-default multi-user.target && sudo reboot, to go without a desktop"
    return Finding("memory", Rank.NOTE, found, mend)


def _cameras(root: Path) -> Iterator[Finding]:
    devices = sorted(root.glob("dev/video[0-9]*"))
    for device in devices:
        name = text_of(root / "sys/class/video4linux" / device.name / "name") or "unnamed"
        found = f"/dev/{device.name}: {name}"
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding("camera", Rank.OK, found)
        else:
            mend = "sudo usermod -aG video $USER, then log in again"
            yield Finding("camera", Rank.FAULT, f"{found}, not ours to open", mend)
    if not devices:
        mend = "plug one in; for CSI: sudo /opt/nvidia/jetson-io/jetson-io.py"
        yield Finding("camera", Rank.NOTE, "none under /dev/video*", mend)


def _wheel() -> Finding:
    try:
        import cv2  # noqa: F401 - its libraries of the system may be missing
        import onnxruntime  # noqa: F401
        import simplejpeg  # noqa: F401

        from runtime import _native
    except ImportError as error:
        of_system = "cannot open shared object" in str(error)
        mend = LIBGL if of_system else "pip install --force-reinstall ."
        return Finding("wheel", Rank.FAULT, str(error), mend)
    return Finding("wheel", Rank.OK, f"its C is loaded from {Path(_native.__file__).parent}")


def _bundle(folder: Path) -> Iterator[Finding]:
    from export.plan import recipes, release_of
    from runtime.manifest import open_bundle

    try:
        bundle = open_bundle(folder)
    except DefectgateError as error:
        found, _, mend = str(error).rpartition("; ")
        yield Finding("bundle", Rank.FAULT, found, mend)
        return
    release = release_of(_version("tensorrt"))
    plans = [r.precision.value for r in recipes(bundle, release, None)] if release else []
    fits = f"onnxruntime and TensorRT ({', '.join(plans)})" if plans else "onnxruntime"
    yield Finding("bundle", Rank.OK, f"{folder}, {bundle.manifest.precision}, for {fits}")
