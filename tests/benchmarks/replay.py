"""What the loop around the GPU costs: the replay in C against the same calls from Python.

    python tests/benchmarks/replay.py

Against the stand-in driver of the tests, whose graphs are empty: no GPU is measured, only the way
there. A frame is: launch the gate, wait, read the score, and launch the mask where it opens. The
opponents are ctypes, and ctypes with the arguments prepared beforehand.
"""

import ctypes
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from runtime import _native  # noqa: E402 - the checkout's, wherever this is started

FRAMES, ROUNDS = 20_000, 15
NOT_READY = 600


def main():
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        driver = stand_in(Path(folder))
    stream, gate, mask = handles(driver)
    rows = []
    for name, value in (("gate shut", 0.0), ("gate open", 1.0)):
        scores = np.full((1, 1), value, np.float32)
        ways = (in_c(stream, gate, mask, scores), in_python(driver, stream, gate, mask, scores))
        rows.append((name, *best_of(ways)))
    print(f"{platform.machine()}, Python {platform.python_version()}, stand-in driver")  # noqa: T201
    print("| a frame | C | Python (ctypes) | |\n|---|---|---|---|")  # noqa: T201
    for name, c, python in rows:
        print(f"| {name} | {c:.2f} us | {python:.2f} us | {python / c:.1f}x |")  # noqa: T201


def stand_in(folder):
    """The stand-in driver, loaded."""
    library = folder / "libcuda.so.1"
    source = ROOT / "tests" / "simulated" / "libcuda.c"
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run(["gcc", *flags, source, "-o", library], check=True)  # noqa: S607
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def handles(driver):
    """A stream, and two graphs without work."""
    context, stream = ctypes.c_void_p(), ctypes.c_void_p()
    driver.cuCtxCreate_v2(ctypes.byref(context), 8, 0)
    driver.cuStreamCreate(ctypes.byref(stream), 0)
    cuda = _native.cuda_open("libcuda.so.1")
    graphs = []
    for _ in range(2):
        _native.capture_begin(cuda, stream.value)
        graphs.append(_native.capture_end(cuda, stream.value))
    return stream.value, *graphs


def in_c(stream, gate, mask, scores):
    """One call a frame."""
    cuda = _native.cuda_open("libcuda.so.1")
    masks = (mask,)

    def frames(count):
        for _ in range(count):
            _native.replay(cuda, stream, gate, scores, masks, 0.5, True, 1.0)  # noqa: FBT003

    return frames


def in_python(driver, stream, gate, mask, scores):
    """The same calls, with arguments that are prepared once."""
    launch, query = driver.cuGraphLaunch, driver.cuStreamQuery
    on, gate_graph, mask_graph = map(ctypes.c_void_p, (stream, gate, mask))

    def frames(count):
        for _ in range(count):
            if launch(gate_graph, on):
                raise RuntimeError
            while (code := query(on)) == NOT_READY:
                pass
            if code:
                raise RuntimeError
            if scores[0, 0] >= 0.5 and launch(mask_graph, on):
                raise RuntimeError

    return frames


def best_of(ways):
    """Medians of the rounds, in microseconds a frame; the ways take turns."""
    times = [[] for _ in ways]
    for _ in range(ROUNDS):
        for frames, found in zip(ways, times, strict=True):
            before = perf_counter_ns()
            frames(FRAMES)
            found.append((perf_counter_ns() - before) / FRAMES / 1000)
    return [median(found) for found in times]


if __name__ == "__main__":
    main()
