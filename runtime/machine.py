"""Which machine this is, and what state it is in: what a time is worth depends on both.

Everything is read, nothing is changed, and nothing needs root. What does not answer is None.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
SYSTEM_PATH = "/usr/sbin:/sbin"
GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "temperature.gpu")


@dataclass(frozen=True)
class Machine:
    """What stays the same from one run to the next; `id` is a digest of the machine's own."""

    id: str | None
    model: str
    architecture: str
    cores: int
    memory_mb: int
    gpu: str | None
    l4t: str | None


@dataclass(frozen=True)
class State:
    """What changes: `load` is the number of busy threads in the last minute."""

    power_mode: str | None
    clocks_locked: bool | None
    clocks_mhz: dict[str, int]
    temperatures_c: dict[str, float]
    load: float


def this_machine(root: Path = ROOT) -> Machine:
    """Who this is, by the files under `root`, and by what nvidia-smi says of a GPU."""
    own = text_of(root / "etc/machine-id")
    gpu = _gpu()
    return Machine(
        id=hashlib.sha256(own.encode()).hexdigest()[:12] if own else None,
        model=board_model(root) or _cpu_model(root),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=_memory_mb(root),
        gpu=f"{gpu['name']}, driver {gpu['driver_version']}" if gpu else None,
        l4t=l4t_release(root),
    )


def state_of_machine(root: Path = ROOT) -> State:
    """Power mode, clocks, temperatures and load, now."""
    clocks = _cpu_clocks(root) | _gpu_clocks(root)
    temperatures = thermal_zones(root)
    gpu = _gpu()
    if gpu:
        clocks |= _number(gpu, "clocks.sm") | _number(gpu, "clocks.max.sm")
        temperatures |= _number(gpu, "temperature.gpu")
    return State(power_mode(root), _locked(root), clocks, temperatures, _load(root))


def others_seconds(root: Path = ROOT) -> float:
    """The CPU time that all programs but this one have taken; its rise tells who else was busy."""
    cells = (text_of(root / "proc/stat") or "cpu").partition("\n")[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, steal = (*map(int, cells[:8]), *[0] * 8)[:8]
    ticks = user + nice + system + interrupts + soft + steal
    own = os.times()
    return ticks / os.sysconf("SC_CLK_TCK") - own.user - own.system


def text_of(path: Path) -> str | None:
    """The file's text without white space and NULs around it; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n\t")
    except OSError:
        return None


def said_by(*command: str) -> str | None:
    """What a program of the system prints; None where it is missing, fails or hangs."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            [program, *command[1:]], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def board_model(root: Path = ROOT) -> str | None:
    """The board's name, where there is a device tree: `NVIDIA Jetson Orin Nano ...`."""
    return text_of(root / "proc/device-tree/model")


def lacks_vnni(root: Path = ROOT) -> bool:
    """Whether this is x86 without VNNI, where exact INT8 is hardly faster than float."""
    return platform.machine() == "x86_64" and "vnni" not in (text_of(root / "proc/cpuinfo") or "")


def l4t_release(root: Path = ROOT) -> str | None:
    """The release of Jetson Linux, `36.4.3`; None where this is no Jetson."""
    release = text_of(root / "etc/nv_tegra_release") or ""
    found = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", release)
    return f"{found[1]}.{found[2]}" if found else None


def power_mode(root: Path = ROOT) -> str | None:
    """The power mode of nvpmodel by name, else by number; elsewhere the CPU's governor."""
    named = re.search(r"NV Power Mode: *(\S+)", said_by("nvpmodel", "-q") or "")
    if named:
        return named[1]
    numbered = re.search(r"pmode:(\d+)", text_of(root / "var/lib/nvpmodel/status") or "")
    if numbered:
        return f"mode {int(numbered[1])}"
    return text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def thermal_zones(root: Path = ROOT) -> dict[str, float]:
    """The temperature of each zone that is on, in degrees."""
    zones = {}
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        kind, milli = text_of(zone / "type"), text_of(zone / "temp")
        if kind and milli and re.fullmatch(r"-?\d+", milli) and int(milli) > 0:
            zones[kind] = int(milli) / 1000
    return zones


def _cpu_model(root: Path) -> str:
    found = re.search(r"model name\s*: (.+)", text_of(root / "proc/cpuinfo") or "")
    if found is None:
        return "unknown"
    return f"{found[1]}, no VNNI" if lacks_vnni(root) else found[1]


def _memory_mb(root: Path) -> int:
    found = re.search(r"MemTotal:\s*(\d+) kB", text_of(root / "proc/meminfo") or "")
    return int(found[1]) // 1024 if found else 0


def _load(root: Path) -> float:
    return float((text_of(root / "proc/loadavg") or "0").split()[0])


def _cpu_clocks(root: Path) -> dict[str, int]:
    paths = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    found = ((path.parts[-3], text_of(path)) for path in paths)
    return {cpu: int(khz) // 1000 for cpu, khz in found if khz and khz.isdecimal()}


def _gpu_clocks(root: Path) -> dict[str, int]:
    """Of a Jetson, whose GPU is a devfreq device: 17000000.gpu on Orin."""
    paths = sorted(root.glob("sys/class/devfreq/*gp*/cur_freq"))
    found = ((path.parts[-2], text_of(path)) for path in paths)
    return {name: int(hz) // 1_000_000 for name, hz in found if hz and hz.isdecimal()}


def _locked(root: Path) -> bool | None:
    """Whether every clock's lowest is its highest, which is what jetson_clocks does."""
    pairs = [
        (text_of(path), text_of(path.with_name(path.name.replace("min", "max"))))
        for pattern in (
            "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_min_freq",
            "sys/class/devfreq/*gp*/min_freq",
        )
        for path in root.glob(pattern)
    ]
    return all(low == high for low, high in pairs) if pairs else None


def _gpu() -> dict[str, str] | None:
    query = f"--query-gpu={','.join(GPU_FIELDS)}"
    answer = said_by("nvidia-smi", query, "--format=csv,noheader,nounits")
    cells = (answer or "").partition("\n")[0].split(", ")
    if len(cells) != len(GPU_FIELDS):
        return None
    return dict(zip(GPU_FIELDS, cells, strict=True))


def _number(gpu: dict[str, str], field: str) -> dict[str, int]:
    """The field, where nvidia-smi gives a number and not `[N/A]`."""
    return {field: int(gpu[field])} if gpu[field].isdecimal() else {}
