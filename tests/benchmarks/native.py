"""How fast the C is beside OpenCV and numpy, and what the loop adds to its engine, one thread.

    python tests/benchmarks/native.py --sets FOLDER

FOLDER holds datasets, whose masks are the blobs. All contenders take turns in every round, so that
what else the machine does hits them alike; the frames are four, as in a driver's queue, so that
none lies in the nearest cache. Times are medians in ms, and in brackets those of the fastest round,
which a busy machine changes least; ratios are those of the times. What a heading asks for is asked
of YUYV 1080p, of every set of masks, and of both rows of the loop.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tables import put, table

from runtime import _native
from runtime.components import find_defects
from runtime.frame import Frame
from runtime.inspection import Inspector
from runtime.preprocess import PixelFormat, Rect, Tile, preprocess
from runtime.sinks import write_line
from runtime.spec import InputSpec, Limits

ROUNDS, FRAMES = 100, 4
TARGET = 640, 352
SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
RGB_CODES = {
    PixelFormat.YUYV: cv2.COLOR_YUV2RGB_YUYV,
    PixelFormat.NV12: cv2.COLOR_YUV2RGB_NV12,
    PixelFormat.GREY: None,
    PixelFormat.RGGB8: cv2.COLOR_BayerRGGB2RGB,
}
SETS, MASK_SIZE, MASKS_A_SET = ("deepcrack256", "magnetic_tile"), (320, 176), 60
THRESHOLD = 0.5
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

Pixels = npt.NDArray[np.uint8]
Contender = Callable[[Pixels], object]


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=Path, help="folder of datasets; without it, no blobs")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    tables = [preprocessing_table(), loop_table()]
    if asked.sets:
        tables.insert(1, blobs_table(asked.sets))
    text = "\n\n".join(tables)
    sys.stdout.write(text + "\n")
    if asked.write:
        put("README.md", "native", text)


@dataclass(frozen=True)
class Times:
    """What a contender took, in ms."""

    median: float
    fastest: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.fastest:.3f})"

    def beside(self, other: "Times") -> str:
        """The times, and how many times the other's they are."""
        ratio, fastest = self.median / other.median, self.fastest / other.fastest
        return f"{self}, {ratio:.1f}x ({fastest:.1f}x)"


def measured(contenders: Sequence[Contender], arrays: Sequence[Pixels]) -> list[Times]:
    """The times of each, in rounds where each has its turn with the same array."""
    taken: list[list[float]] = [[] for _ in contenders]
    for number in range(max(ROUNDS, len(arrays))):
        for contender, times in zip(contenders, taken, strict=True):
            begun = time.perf_counter()
            contender(arrays[number % len(arrays)])
            times.append(1e3 * (time.perf_counter() - begun))
    return [Times(statistics.median(times), min(times)) for times in taken]


def cells(times: Sequence[Times]) -> list[str]:
    """The first times, then the others beside them."""
    first, *others = times
    return [str(first), *(other.beside(first) for other in others)]


@dataclass(frozen=True)
class Preprocessing:
    """One kind of frame on its way to the network's input, in several hands."""

    format: PixelFormat
    size: tuple[int, int]

    def row(self) -> list[str]:
        """The times of ours, of plain C, of OpenCV's three ways, and of reading the frame."""
        rng = np.random.default_rng(0)
        shape = self.format.shape(*self.size)
        frames = [rng.integers(0, 256, shape, np.uint8) for _ in range(FRAMES)]
        tile = Tile(Rect(0, 0, *self.size), Rect(0, 0, *TARGET))
        grey = self.format is PixelFormat.GREY
        out = np.empty((*TARGET[::-1], 1 if grey else 3), np.uint8)
        rects = (0, 0, *self.size), (0, 0, *TARGET)
        contenders: list[Contender] = [
            lambda frame: preprocess(frame, self.format, tile, out),
            lambda frame: _native.preprocess(
                frame, self.format.value, rects[0], out, rects[1], 0, plain=True
            ),
            lambda frame: cv2.resize(self.rgb(frame), TARGET, interpolation=cv2.INTER_AREA),
            lambda frame: normalised(cv2.resize(self.rgb(frame), TARGET)),
            lambda frame: normalised_in_place(cv2.resize(self.rgb(frame), TARGET)),
            lambda frame: frame.reshape(-1).view(np.uint64).max(),
        ]
        return cells(measured(contenders, frames))

    def rgb(self, frame: Pixels) -> Pixels:
        """What OpenCV makes of the frame."""
        code = RGB_CODES[self.format]
        return frame if code is None else np.asarray(cv2.cvtColor(frame, code), np.uint8)


def normalised(small: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Float32, standardised by channel, channels first: as it is usually written."""
    pixels = np.atleast_3d(np.asarray(small, np.float32))
    channels = slice(pixels.shape[2])
    return np.ascontiguousarray(
        ((pixels / 255 - MEAN[channels]) / DEVIATION[channels]).transpose(2, 0, 1)
    )


def normalised_in_place(small: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The same as fast as numpy does it: channels first, then each plane in place."""
    pixels = np.atleast_3d(np.asarray(small, np.uint8))
    planes = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32)
    planes[:] = pixels.transpose(2, 0, 1)
    for plane, mean, deviation in zip(planes, MEAN, DEVIATION, strict=False):
        np.multiply(plane, 1 / (255 * deviation), out=plane)
        np.subtract(plane, mean / deviation, out=plane)
    return planes


def preprocessing_table() -> str:
    """Frames of every family of formats, in two sizes."""
    rows = [
        [f"{pixel_format.name} {name}", *Preprocessing(pixel_format, size).row()]
        for name, size in SIZES.items()
        for pixel_format in RGB_CODES
    ]
    linear = "cvtColor, INTER_LINEAR, float, CHW"
    names = [
        "",
        "ours",
        "plain C",
        "cvtColor, INTER_AREA (12x asked)",
        f"{linear} (5x asked)",
        f"{linear}, in place",
        "no more than reading the frame",
    ]
    return table(f"To {TARGET[0]}x{TARGET[1]}, RGB or grey", names, rows)


def blobs_table(sets: Path) -> str:
    """Blobs of real masks, brought to the size of a network's."""
    names = [
        "",
        "masks",
        "blobs in each",
        "ours",
        "connectedComponentsWithStats, bincount (3x asked)",
    ]
    rows = []
    for name in SETS:
        masks = real_masks(sets / name)
        blobs = [len(find_defects(mask, THRESHOLD, 0, (2.0, 2.0)).defects) for mask in masks]
        contenders: list[Contender] = [
            lambda mask: find_defects(mask, THRESHOLD, 0, (2.0, 2.0)),
            scored_by_opencv,
        ]
        times = cells(measured(contenders, masks))
        rows.append([name, str(len(masks)), f"{statistics.mean(blobs):.1f}", *times])
    return table(f"Blobs of {MASK_SIZE[0]}x{MASK_SIZE[1]} masks", names, rows)


def real_masks(folder: Path) -> list[Pixels]:
    """Masks of defects as soft at their borders as a network draws them."""
    masks = []
    for path in sorted((folder / "masks").rglob("*.png")):
        whole = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if whole is not None and whole.any():
            small = cv2.resize(whole, MASK_SIZE, interpolation=cv2.INTER_AREA)
            masks.append(np.asarray(cv2.GaussianBlur(small, (0, 0), 1), np.uint8))
    step = max(1, len(masks) // MASKS_A_SET)
    return masks[::step][:MASKS_A_SET]


def scored_by_opencv(mask: Pixels) -> list[tuple[object, ...]]:
    """Box, area and mean score of each blob, without its length, class or peak."""
    found = (mask >= np.uint8(np.ceil(THRESHOLD * 255))).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    sums = np.bincount(labels.ravel(), weights=mask.ravel(), minlength=count)
    scores = sums / (255 * np.maximum(1, stats[:, cv2.CC_STAT_AREA]))
    return [(*stats[i].tolist(), scores[i]) for i in range(1, count)]


class Instant:
    """An engine that takes no time; its masks show one defect."""

    name = "instant"
    tiles = 16

    def __init__(self, score: float, mask: Pixels) -> None:
        self._scores, self._mask = np.array([[score]], np.float32), mask[None]

    def gate(self, images: Pixels) -> tuple[npt.NDArray[np.float32], None]:
        """The score that was given."""
        del images
        return self._scores, None

    def mask(self, skips: None, tile: int) -> Pixels:
        """The mask that was given."""
        del skips, tile
        return self._mask


def loop_table() -> str:
    """What a frame costs beside the engine: preprocessing, verdict and its line of JSON."""
    side = 256
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (100, 90), (40, 6), 30, 0, 360, 255, -1)
    pixels = [np.full((side, side), level, np.uint8) for level in range(FRAMES)]
    spec, limits = InputSpec(side, side, 1), Limits(threshold=0.5)
    with Path(os.devnull).open("w", encoding="utf-8") as lines:

        def judged(score: float) -> Contender:
            inspector = Inspector(Instant(score, mask), spec, limits, ["defect"])

            def judge(frame: Pixels) -> None:
                seen = Frame(frame, PixelFormat.GREY, "camera", 0, time.monotonic_ns())
                write_line(lines, inspector.inspect(seen).verdict.record())

            return judge

        shut, opened = measured([judged(0.1), judged(0.9)], pixels)
    rows = [["gate shut", str(shut)], ["gate open, one defect", str(opened)]]
    return table(
        f"The loop beside its engine, {side}x{side} grey", ["", "ms (0.5 at most asked)"], rows
    )


if __name__ == "__main__":
    main()
