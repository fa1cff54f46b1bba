"""The four defects: where each one lies, and how it changes the grey levels around it."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from train.synthesize.noise import Noise, Plane
from train.synthesize.strokes import (
    STEP_PX,
    THINNEST_RADIUS_PX,
    Points,
    Stroke,
    Values,
    drawn,
    path,
    placed,
)

MARGIN_PX = 5.0  # no defect touches the border, so none is cut between two frames of a strip
SCRATCH_WIDTH_PX = (1.0, 3.0)
PIT_ACROSS_PX = (3.0, 14.0)
LEADING_PIT_PX = (6.0, 14.0)  # every sample has one: a lone tinier pit may hide
STAIN_RADIUS_SHARE = (0.045, 0.13)  # of the image's shorter side
SHALLOWEST_CROSSING = np.deg2rad(20)  # a scratch along the grain could not be told from a mark
OPTICS_PX = 0.45  # blur of the lens

Size = tuple[int, int]


@dataclass(frozen=True)
class Defect:
    """One sample's defects of one class.

    Attributes:
        coverage: (H, W) share of each pixel that the defect covers; its mask is coverage >= 0.5.
        relief: (H, W) change of the grey level, signed, 1 at full strength.
    """

    coverage: Plane
    relief: Plane


def defect(name: str, grain: str | None, size: Size, source: np.random.Generator) -> Defect:
    """Draw a defect of the class `name` on a surface with that grain."""
    drawn_defect = DEFECTS[name](grain, size, source)
    relief = cv2.GaussianBlur(drawn_defect.relief, (0, 0), OPTICS_PX)
    return Defect(drawn_defect.coverage, np.asarray(relief, np.float32))


def _scratch(grain: str | None, size: Size, source: np.random.Generator) -> Defect:
    strokes = [_scratch_stroke(grain, size, source) for _ in range(source.choice([1, 1, 1, 2]))]
    apart = [placed([stroke], size, MARGIN_PX, source)[0] for stroke in strokes]
    coverage, weighted = drawn(apart, size)
    shadow = _shifted(weighted, source.uniform(-1.5, 1.5, 2))
    relief = weighted - source.uniform(0.0, 0.35) * np.maximum(shadow - weighted, 0)
    return Defect(coverage, np.asarray(source.choice([1, -1]) * relief, np.float32))


def _scratch_stroke(grain: str | None, size: Size, source: np.random.Generator) -> Stroke:
    steps = int(source.uniform(0.22, 0.65) * min(size) / STEP_PX)
    along = np.linspace(0, 1, steps)
    bend, wobble = source.normal(0, 0.35), source.normal(0, 0.08)
    headings = _across_grain(grain, source) + bend * (along - 0.5)
    headings = headings + wobble * np.sin(2 * np.pi * (2 * along + source.uniform()))
    taper = np.minimum(1, np.minimum(along, 1 - along) / source.uniform(0.1, 0.4))
    radius = source.uniform(*SCRATCH_WIDTH_PX) / 2
    radii = np.maximum(THINNEST_RADIUS_PX, radius * np.sqrt(taper))
    return Stroke(path(headings), radii, 0.6 + 0.4 * taper)


def _across_grain(grain: str | None, source: np.random.Generator) -> float:
    """Draw a heading (radians) that crosses the grain."""
    if grain is None:
        return float(source.uniform(0, np.pi))
    turned = source.uniform(SHALLOWEST_CROSSING, np.pi - SHALLOWEST_CROSSING)
    return float(turned + (np.pi / 2 if grain == "down" else 0))


def _crack(_grain: str | None, size: Size, source: np.random.Generator) -> Defect:
    length_px = source.uniform(0.25, 0.7) * min(size)
    trunk = _crack_stroke(length_px, source.uniform(0, 2 * np.pi), 1.0, (0.0, 0.0), source)
    branches = [_branch(trunk, length_px, source) for _ in range(source.integers(1, 5))]
    coverage, weighted = drawn(placed([trunk, *branches], size, MARGIN_PX, source), size)
    return Defect(coverage, -weighted)


def _crack_stroke(
    length_px: float,
    heading: float,
    girth: float,
    start: tuple[float, float],
    source: np.random.Generator,
) -> Stroke:
    steps = max(8, int(length_px / STEP_PX))
    headings = heading + _jagged(steps, source)
    thinning = np.linspace(1, 0.4, steps) * girth
    uneven = np.interp(np.arange(steps), np.arange(0, steps + 16, 16), _uneven(steps, source))
    radii = np.maximum(THINNEST_RADIUS_PX, 1.15 * thinning * uneven)
    return Stroke(path(headings, start), radii, np.clip(0.55 + 0.45 * thinning * uneven, 0, 1))


def _uneven(steps: int, source: np.random.Generator) -> Values:
    return source.uniform(0.6, 1.2, len(np.arange(0, steps + 16, 16)))


def _jagged(steps: int, source: np.random.Generator) -> Values:
    """Give turns (radians): short straight pieces about a direction that wanders slowly."""
    pieces = source.integers(8, 28, steps // 8 + 1)
    turns = np.repeat(source.normal(0, 0.55, len(pieces)), pieces)[:steps]
    drift = np.cumsum(source.normal(0, 0.012, steps))
    return np.asarray(turns + drift, dtype=np.float64)


def _branch(trunk: Stroke, length_px: float, source: np.random.Generator) -> Stroke:
    at = int(source.uniform(0.15, 0.85) * len(trunk.points))
    heading = _heading(trunk.points, at) + source.choice([-1, 1]) * source.uniform(0.5, 1.1)
    x, y = trunk.points[at]
    reach_px = source.uniform(0.12, 0.4) * length_px
    return _crack_stroke(reach_px, heading, 0.75, (float(x), float(y)), source)


def _heading(points: Points, at: int) -> float:
    before, after = points[max(0, at - 20)], points[min(len(points) - 1, at + 20)]
    return float(np.arctan2(after[1] - before[1], after[0] - before[0]))


def _pit(_grain: str | None, size: Size, source: np.random.Generator) -> Defect:
    light = source.uniform(0, 2 * np.pi)
    others = source.uniform(*PIT_ACROSS_PX, source.choice([0, 0, 1, 2]))
    sizes_px = [source.uniform(*LEADING_PIT_PX), *others]
    pits = [_one_pit(size, across_px, light, source) for across_px in sizes_px]
    coverage = np.max([pit.coverage for pit in pits], axis=0)
    deepest = np.argmax([pit.coverage for pit in pits], axis=0)
    relief = np.take_along_axis(np.stack([pit.relief for pit in pits]), deepest[None], axis=0)[0]
    return Defect(coverage, relief)


def _one_pit(size: Size, across_px: float, light: float, source: np.random.Generator) -> Defect:
    """Draw a dark dent with a bright rim that shines most on the side away from the light."""
    x, y = _offsets(size, MARGIN_PX + across_px / 2, source)
    angle = np.arctan2(y, x)
    lobes = sum(
        source.uniform(0, 0.1) * np.cos(n * angle + source.uniform(0, 2 * np.pi)) for n in (2, 3)
    )
    beyond = np.hypot(x, y) - across_px / 2 * (1 + lobes)
    coverage = np.clip(0.5 - beyond, 0, 1)
    dent = np.clip(0.5 - beyond - 0.1 * across_px, 0, 1)
    facing = np.cos(angle - light)
    rim = (coverage - dent) * (0.55 + 0.3 * facing)
    relief = rim - dent * (0.9 - 0.1 * facing)
    return Defect(coverage.astype(np.float32), relief.astype(np.float32))


def _stain(_grain: str | None, size: Size, source: np.random.Generator) -> Defect:
    """Draw a soft blob with an irregular outline, at times darker at its border as when dried."""
    radius_px = source.uniform(*STAIN_RADIUS_SHARE) * min(size)
    x, y = _offsets(size, MARGIN_PX + 1.5 * radius_px, source)
    turn, flat = source.uniform(0, np.pi), source.uniform(0.6, 1.0)
    along = x * np.cos(turn) + y * np.sin(turn)
    athwart = (y * np.cos(turn) - x * np.sin(turn)) / flat
    ragged = 0.22 * _ragged(size, radius_px, source)
    depth = 1 - np.hypot(along, athwart) / radius_px + ragged
    coverage = np.clip(0.5 + depth / source.uniform(0.4, 0.9), 0, 1)
    coverage = coverage**2 * (3 - 2 * coverage)
    dried = source.uniform(0, 0.5) * np.exp(-((depth / 0.15) ** 2)) * coverage
    relief = source.choice([-1, -1, -1, 1]) * (0.8 * coverage + dried)
    return Defect(coverage.astype(np.float32), relief.astype(np.float32))


def _ragged(size: Size, radius_px: float, source: np.random.Generator) -> Plane:
    seed = int(source.integers(2**32))
    coarse = Noise(seed, (0,), (radius_px / 3, radius_px / 3)).window(0, size[1], size[0])
    fine = Noise(seed, (1,), (radius_px / 8, radius_px / 8)).window(0, size[1], size[0])
    return np.asarray(np.clip(coarse + 0.4 * fine, -2, 2), np.float32)


def _offsets(size: Size, margin_px: float, source: np.random.Generator) -> tuple[Plane, Plane]:
    """Give each pixel's offset (px) from a random centre that keeps its distance: two (H, W)."""
    width, height = size
    centre_x = source.uniform(margin_px, width - 1 - margin_px)
    centre_y = source.uniform(margin_px, height - 1 - margin_px)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x - np.float32(centre_x), y - np.float32(centre_y)


def _shifted(plane: Plane, by_px: Values) -> Plane:
    move = np.array([[1, 0, by_px[0]], [0, 1, by_px[1]]])
    return np.asarray(cv2.warpAffine(plane, move, plane.shape[::-1]), np.float32)


DEFECTS: dict[str, Callable[[str | None, Size, np.random.Generator], Defect]] = {
    "scratch": _scratch,
    "crack": _crack,
    "pit": _pit,
    "stain": _stain,
}
CLASSES = tuple(DEFECTS)
# Large soft blobs are seen at a contrast that would hide a scratch, and real ones are faint.
CONTRAST_SHARE = {"scratch": 1.0, "crack": 1.0, "pit": 1.0, "stain": 0.65}
