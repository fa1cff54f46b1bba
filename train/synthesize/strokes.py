"""Thin lines with a width and a strength that change on the way, drawn without steps."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from train.synthesize.noise import Plane

STEP_PX = 0.25
THINNEST_RADIUS_PX = 0.55  # half a pixel and a little: the line is one pixel wide and has no gaps
REACH_PX = 3  # half the stamp; holds the widest line, 1.5 px, and its soft border

Points = NDArray[np.float64]  # (N, 2), x and y, px
Values = NDArray[np.float64]  # (N,)


@dataclass(frozen=True)
class Stroke:
    """A line: points STEP_PX apart, the radius (px) and the strength in [0, 1] at each."""

    points: Points
    radii: Values
    strengths: Values


def path(headings: Values, start: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Walk STEP_PX along each heading (radians)."""
    steps = STEP_PX * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.asarray(np.cumsum(steps, axis=0) + start, dtype=np.float64)


def placed(
    strokes: list[Stroke], size: tuple[int, int], margin_px: float, source: np.random.Generator
) -> list[Stroke]:
    """Move all strokes together to a random place in the image, shrunk where they are too large."""
    everything = np.concatenate([stroke.points for stroke in strokes])
    low, high = everything.min(axis=0), everything.max(axis=0)
    room = np.subtract(size, 1 + 2 * margin_px)
    shrink = min(1.0, *(room / np.maximum(high - low, 1e-6)))
    corner = margin_px + source.uniform(0, 1, 2) * (room - shrink * (high - low))
    return [replace(stroke, points=corner + shrink * (stroke.points - low)) for stroke in strokes]


def drawn(strokes: list[Stroke], size: tuple[int, int]) -> tuple[Plane, Plane]:
    """Give each pixel's coverage in [0, 1], and the coverage times strength: two (H, W)."""
    width, height = size
    coverage = np.zeros((height, width), np.float32)
    weighted = np.zeros((height, width), np.float32)
    for stroke in strokes:
        rows, columns, share = _stamps(stroke)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & (share > 0)
        strength = np.broadcast_to(stroke.strengths[:, None, None], share.shape)[inside]
        place = rows[inside], columns[inside]
        np.maximum.at(coverage, place, share[inside].astype(np.float32))
        np.maximum.at(weighted, place, (share[inside] * strength).astype(np.float32))
    return coverage, weighted


def _stamps(stroke: Stroke) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give the rows, columns and coverage of a disc around each point: three (N, 7, 7)."""
    dy, dx = np.mgrid[-REACH_PX : REACH_PX + 1, -REACH_PX : REACH_PX + 1]
    nearest = np.rint(stroke.points).astype(np.int64)
    columns = nearest[:, 0, None, None] + dx
    rows = nearest[:, 1, None, None] + dy
    x, y = stroke.points[:, 0, None, None], stroke.points[:, 1, None, None]
    distance = np.hypot(columns - x, rows - y)
    share = np.clip(stroke.radii[:, None, None] + 0.5 - distance, 0, 1)
    return rows, columns, share
