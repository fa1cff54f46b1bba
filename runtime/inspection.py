"""From a frame to its verdict: tiles, gate, and the mask only where the gate opens."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter_ns
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from runtime.components import Defect, MaskRle, find_defects, mask_rle
from runtime.engine import Engine
from runtime.errors import EngineError, GpuLostError
from runtime.frame import Frame
from runtime.spec import InputSpec, Limits
from runtime.tiling import Canvas, Tile, mask_canvas, tiles
from runtime.verdict import Answer, Verdict

MOST_DEFECTS = 100  # of each class are listed, and the others counted

Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scored:
    """Tiles of a frame after the gate, from number `first` on: their scores (N, K).

    The skips are what the mask head needs, good until the next tiles are scored.
    """

    first: int
    scores: Scores
    skips: Any


class Clock:
    """What each stage of a frame took, in ns, whatever order they come in."""

    def __init__(self) -> None:
        self._last = perf_counter_ns()
        self.took: dict[str, int] = {}

    def lap(self, stage: str) -> None:
        """The time since the last lap was this stage's."""
        now = perf_counter_ns()
        self.took[stage] = self.took.get(stage, 0) + now - self._last
        self._last = now


def open_tiles(scores: Scores, threshold: float) -> list[int]:
    """The tiles whose gate opens, by their scores (N, K).

    Compared in 64 bits, as a sample's score is: numpy would round the threshold to the scores' 32.
    """
    best = scores.max(axis=1).astype(np.float64)
    return [int(tile) for tile in np.flatnonzero(best >= threshold)]


def answer_to(score: float, limits: Limits) -> Answer:
    """What a sample with this score is."""
    if score < limits.threshold:
        return Answer.OK
    return Answer.REVIEW if score < limits.review_below else Answer.NG


@dataclass(frozen=True)
class Inspection:
    """A verdict, the mask that was drawn where the gate opened, and what ends the inspecting."""

    verdict: Verdict
    canvas: Canvas | None = None
    end: GpuLostError | None = None


@dataclass(frozen=True)
class _Findings:
    """What a mask shows: the largest defects, how many others, and the masks where asked for."""

    defects: tuple[Defect, ...] = ()
    others: int = 0
    masks: tuple[MaskRle, ...] = ()


class Inspector:
    """Judges frames with one engine. Not for two threads at once: it reuses its input buffer.

    `rle`: the verdicts hold each class's mask as run lengths.
    """

    def __init__(
        self,
        engine: Engine,
        spec: InputSpec,
        limits: Limits,
        class_names: Sequence[str],
        *,
        rle: bool = False,
    ) -> None:
        self.engine = engine
        self.limits = limits
        self._rle = rle
        self._spec = spec
        self.class_names = class_names
        self._batch = np.zeros((0, spec.height, spec.width, spec.channels), np.uint8)

    def inspect(self, frame: Frame) -> Inspection:
        """The verdict on `frame`: `UNKNOWN` where it has no pixels, or no trustworthy answer."""
        if frame.pixels is None:
            return _unknown(frame, Clock(), frame.fault)
        clock = Clock()
        try:
            return self._inspect(frame, clock)
        except GpuLostError as error:
            return replace(_unknown(frame, clock, str(error)), end=error)
        except (EngineError, ValueError) as error:  # the device, or a frame that does not fit
            return _unknown(frame, clock, str(error))

    def _inspect(self, frame: Frame, clock: Clock) -> Inspection:
        best = -math.inf
        masks: dict[int, Mask] = {}
        for part in self.score(frame, clock):
            if not np.isfinite(part.scores).all():
                return _unknown(frame, clock, "the score is not a number")
            highest = float(part.scores.max())
            best = max(best, highest)
            if highest >= self.limits.threshold:
                masks |= self._masks(part)
                clock.lap("mask")
        answer = answer_to(best, self.limits)
        if answer is Answer.OK:
            return Inspection(_verdict(frame, answer, best, _Findings(), clock))
        placed, classes = _tiles(frame.size, self._spec), len(self.class_names)
        canvas = mask_canvas(frame.size, self._spec.size, placed, masks, classes)
        clock.lap("mask")
        found = self._findings(canvas)
        clock.lap("blobs")
        return Inspection(_verdict(frame, answer, best, found, clock), canvas)

    def score(self, frame: Frame, clock: Clock | None = None) -> Iterator[Scored]:
        """Run preprocessing and gate on a frame that has pixels, as many tiles at once as may be.

        Raises:
            EngineError: the device failed.
        """
        clock = clock or Clock()
        placed, most = _tiles(frame.size, self._spec), self.engine.tiles
        for first in range(0, len(placed), most):
            batch = self._pixels(frame, placed[first : first + most])
            clock.lap("preprocess")
            scores, skips = self.engine.gate(batch)
            clock.lap("gate")
            yield Scored(first, scores, skips)

    def preprocess(self, frame: Frame) -> tuple[Sequence[Tile], npt.NDArray[np.uint8]]:
        """The frame's tiles and their pixels (N, H, W, C), which the next call overwrites."""
        placed = _tiles(frame.size, self._spec)
        return placed, self._pixels(frame, placed)

    def _pixels(self, frame: Frame, placed: Sequence[Tile]) -> npt.NDArray[np.uint8]:
        if len(self._batch) < len(placed):
            self._batch = np.zeros((len(placed), *self._batch.shape[1:]), np.uint8)
        batch = self._batch[: len(placed)]
        for tile, image in zip(placed, batch, strict=True):
            frame.preprocess(tile, image)
        return batch

    def _masks(self, part: Scored) -> dict[int, Mask]:
        """The masks of the tiles that open, by their number in the frame."""
        opened = open_tiles(part.scores, self.limits.threshold)
        return {part.first + tile: self.engine.mask(part.skips, tile) for tile in opened}

    def _findings(self, canvas: Canvas) -> _Findings:
        limits = self.limits
        defects: list[Defect] = []
        masks: list[MaskRle] = []
        others = 0
        for mask, name in zip(canvas.masks, self.class_names, strict=True):
            kept = np.empty_like(mask) if self._rle else None
            found = find_defects(
                mask,
                limits.mask_threshold,
                limits.min_area_px,
                canvas.scale,
                kind=name,
                kept=kept,
                most=MOST_DEFECTS,
            )
            defects += found.defects
            others += found.others
            if kept is not None:
                masks.append(mask_rle(kept, name))
        return _Findings(tuple(defects), others, tuple(masks))


def foreground(
    canvas: Canvas, frame_size: tuple[int, int], limits: Limits
) -> npt.NDArray[np.bool_]:
    """Where each class is found in the frame, (K, H, W), after mask threshold and minimum area."""
    found = np.zeros((len(canvas.masks), *frame_size[::-1]), np.bool_)
    level = 255 * limits.mask_threshold
    for mask, part in zip(canvas.masks, found, strict=True):
        kept = np.zeros_like(mask)
        level_and_area = limits.mask_threshold, limits.min_area_px
        if find_defects(mask, *level_and_area, canvas.scale, kept=kept, most=1).defects:
            # Borders between the pixels, without the blobs that were too small; and whole blobs
            # where interpolation would leave nothing of them.
            without = np.where((mask >= level) & (kept == 0), 0, mask).astype(np.float32)
            smooth = cv2.resize(without, frame_size) >= level
            part[:] = smooth | _vanished(kept, smooth)
    return found


def _vanished(kept: Mask, smooth: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The blobs of `kept` of which `smooth`, in the frame's size, holds nothing."""
    count, blobs = cv2.connectedComponents(kept)
    nearest = cv2.resize(blobs, smooth.shape[::-1], interpolation=cv2.INTER_NEAREST)
    vanished: npt.NDArray[np.bool_] = np.bincount(nearest[smooth], minlength=count) == 0
    vanished[0] = False  # the background
    found = np.asarray(vanished[nearest])
    rows, columns = np.nonzero(
        vanished[blobs]
    )  # those too that no pixel of the frame is nearest to
    (height, width), (frame_height, frame_width) = blobs.shape, smooth.shape
    found[rows * frame_height // height, columns * frame_width // width] = True
    return found


@cache
def _tiles(frame_size: tuple[int, int], spec: InputSpec) -> Sequence[Tile]:
    return tuple(tiles(frame_size, spec.size, spec.fit, scale=spec.scale))


def _unknown(frame: Frame, clock: Clock, reason: str | None) -> Inspection:
    return Inspection(_verdict(frame, Answer.UNKNOWN, None, _Findings(), clock, reason))


def _verdict(
    frame: Frame,
    answer: Answer,
    score: float | None,
    found: _Findings,
    clock: Clock,
    reason: str | None = None,
) -> Verdict:
    latency = {stage: round(ns / 1e6, 4) for stage, ns in clock.took.items()}
    latency["total"] = round(sum(clock.took.values()) / 1e6, 4)
    return Verdict(
        frame.seq,
        frame.source,
        frame.t_capture_ns,
        answer,
        score,
        found.defects,
        latency,
        frame.dropped,
        reason,
        found.others,
        found.masks,
    )
