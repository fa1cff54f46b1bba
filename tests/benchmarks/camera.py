"""A camera at its full rate for minutes: is each frame counted, is memory flat, what does it cost.

    python tests/benchmarks/camera.py '/dev/video0?width=320&height=180&fps=60' --minutes 10

Each frame is preprocessed to 256x256. The opponent of the counts is the driver's clock: so many
frames, at its rate, lie between the first time stamp and the last.
"""

import argparse
import os
import threading
import time
from pathlib import Path

import numpy as np
from tables import table

from runtime.camera import Camera
from runtime.preprocess import Rect, Tile, preprocess

TARGET = Rect(0, 0, 256, 256)
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def resident_mb():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_MB


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri")
    parser.add_argument("--minutes", type=float, default=10)
    wanted = parser.parse_args()
    out = np.empty((256, 256, 3), np.uint8)
    stop = threading.Event()
    memory, taken, dropped, faults, first, last = [], 0, 0, 0, None, None
    with Camera(wanted.uri, stop) as camera:
        fps = camera._capture.fps  # noqa: SLF001 - what the driver agreed to
        threading.Timer(60 * wanted.minutes, stop.set).start()
        began, cpu = time.monotonic(), time.process_time()
        for frame in camera.frames():
            taken += 1
            dropped += frame.dropped
            last = frame.t_capture_ns
            first = first or last
            if frame.pixels is None:
                faults += 1
            else:
                whole = Rect(0, 0, *frame.size)
                preprocess(frame.pixels, frame.format, Tile(whole, TARGET), out)
            if taken == 100 or time.monotonic() - began > 60 * len(memory):
                memory.append(resident_mb())
            del frame
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        memory.append(resident_mb())
    by_clock = round((last - first) / 1e9 * fps) + 1
    rows = [
        ["seconds", f"{seconds:.0f}"],
        ["frames preprocessed", f"{taken}"],
        ["frames dropped and counted", f"{dropped}"],
        ["frames by the driver's clock", f"{by_clock} at {fps:g}/s"],
        ["lost uncounted", f"{by_clock - taken - dropped}"],
        ["broken", f"{faults}"],
        ["resident memory, MB, each minute", ", ".join(f"{value:.1f}" for value in memory)],
        ["CPU share of one core", f"{100 * cpu / seconds:.1f} %"],
    ]
    print(table(wanted.uri, ["", "measured"], rows))  # noqa: T201


if __name__ == "__main__":
    main()
