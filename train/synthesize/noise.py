"""Smooth noise on an endless band: any window can be drawn alone and fits its neighbours."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synthesize.streams import Key, generator

Plane = NDArray[np.float32]  # (H, W)

BLOCK_ROWS = 64
BLOCKS_ABOVE_ROW_0 = 16  # room for the margins above the first window
COARSEST_PITCH_PX = 64


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of mean 0 and variance 1, smooth over `spread_px` (down, across).

    White rows come in blocks, each from its own address, and are smoothed on a lattice as
    coarse as the spread allows; so a window costs little and needs nothing of the rest.
    """

    seed: int
    key: Key
    spread_px: tuple[float, float]

    def window(self, top: int, height: int, width: int) -> Plane:
        """Draw the rows from `top` on: (height, width)."""
        pitch_y, pitch_x = (_pitch_px(spread) for spread in self.spread_px)
        kernel_y = _kernel(self.spread_px[0] / pitch_y)
        kernel_x = _kernel(self.spread_px[1] / pitch_x)
        margin_y, margin_x = len(kernel_y) // 2 + 2, len(kernel_x) // 2 + 2
        first = top // pitch_y - margin_y
        rows = -(-(top + height) // pitch_y) + margin_y - first
        columns = -(-width // pitch_x) + 2 * margin_x
        white = self._white(first, rows, columns)
        smooth = np.asarray(cv2.sepFilter2D(white, -1, kernel_x, kernel_y), np.float32)
        fine = _enlarged(smooth, pitch_y, pitch_x)
        y, x = top - first * pitch_y, margin_x * pitch_x
        return fine[y : y + height, x : x + width]

    def _white(self, first: int, rows: int, columns: int) -> Plane:
        start = first // BLOCK_ROWS
        blocks = range(start, (first + rows - 1) // BLOCK_ROWS + 1)
        white = np.concatenate([self._block(block, columns) for block in blocks])
        skipped = first - start * BLOCK_ROWS
        return white[skipped : skipped + rows]

    def _block(self, block: int, columns: int) -> Plane:
        source = generator(self.seed, (*self.key, block + BLOCKS_ABOVE_ROW_0))
        return source.standard_normal((BLOCK_ROWS, columns), dtype=np.float32)


def _pitch_px(spread_px: float) -> int:
    finest = 2 ** math.floor(math.log2(max(spread_px / 2, 1)))
    return int(min(finest, COARSEST_PITCH_PX))


def _kernel(spread: float) -> NDArray[np.float64]:
    """Give a Gaussian whose squares add up to 1, so that white noise keeps its variance."""
    if spread == 0:
        return np.ones((1, 1))
    kernel = cv2.getGaussianKernel(2 * math.ceil(3 * spread) + 1, spread)
    return np.asarray(kernel / np.linalg.norm(kernel), dtype=np.float64)


def _enlarged(plane: Plane, pitch_y: int, pitch_x: int) -> Plane:
    if pitch_y == pitch_x == 1:
        return plane
    enlarged = cv2.resize(plane, None, fx=pitch_x, fy=pitch_y, interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, dtype=np.float32)
