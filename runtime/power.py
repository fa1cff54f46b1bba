"""Energy by the machine's own meter: tegrastats on a Jetson, nvidia-smi (NVML) beside a GPU."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

Watts = Callable[[str], float | None]
NVIDIA_SMI = ["nvidia-smi", "-i", "0", "--format=csv,noheader,nounits"]


@dataclass(frozen=True)
class Energy:
    """What `meter` said while calls were made, idle time included: mean draw, energy a call."""

    meter: str
    watts: float
    mj_a_call: float


def energy_of(call: Callable[[], object], seconds: float) -> Energy | None:
    """What one `call` takes, made again and again for so long; None where no meter answers."""
    command, watts_of = next((m for m in METERS if shutil.which(m[0][0])), ([], tegrastats_watts))
    if not command:
        return None
    with tempfile.TemporaryFile("w+") as lines:  # a pipe that nobody empties would fill up
        with subprocess.Popen(command, stdout=lines) as process:  # noqa: S603 - our own arguments
            try:
                took = _mean_seconds(call, seconds)
            finally:
                process.terminate()
        lines.seek(0)
        drawn = [watts for line in lines if (watts := watts_of(line)) is not None]
    if not drawn:
        return None
    return Energy(command[0], round(mean(drawn), 3), round(mean(drawn) * took * 1000, 3))


def tegrastats_watts(line: str) -> float | None:
    """The whole board's rail, VDD_IN or VIN, where the board has one, else the sum of its rails."""
    rails = {rail: int(mw) / 1000 for rail, mw in re.findall(r"(V\w+) (\d+)mW/\d+mW", line)}
    for whole in ("VDD_IN", "VIN"):
        if whole in rails:
            return rails[whole]
    return sum(rails.values()) if rails else None


def nvidia_smi_watts(line: str) -> float | None:
    """The GPU's draw, without the machine around it."""
    return float(line) if re.fullmatch(r"\s*\d+(\.\d+)?\s*", line) else None


METERS: tuple[tuple[list[str], Watts], ...] = (
    (["tegrastats", "--interval", "100"], tegrastats_watts),
    ([*NVIDIA_SMI, "--query-gpu=power.draw", "-lms", "100"], nvidia_smi_watts),
)


def _mean_seconds(call: Callable[[], object], seconds: float) -> float:
    began, calls = time.monotonic(), 0
    while not calls or time.monotonic() < began + seconds:
        call()
        calls += 1
    return (time.monotonic() - began) / calls
