"""What runs a bundle's two networks on one kind of device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

MOST_TILES = 16  # more at once take memory, and save no time


class Engine(Protocol):
    """Runs the gate on a batch of tiles, and the mask head on one tile of that batch."""

    @property
    def name(self) -> str:
        """What runs, for the record: library, version, device."""
        ...

    @property
    def tiles(self) -> int:
        """The most tiles that the gate takes at once."""
        ...

    def gate(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Any]:
        """Scores (N, K) in [0, 1] of `images` (N, H, W, C), and the skips, good until the next.

        Raises:
            EngineError: the device failed.
        """
        ...

    def mask(self, skips: Any, tile: int) -> npt.NDArray[np.uint8]:
        """The mask of tile number `tile`, probability x 255, (K, H, W).

        Raises:
            EngineError: the device failed.
        """
        ...


@dataclass(frozen=True)
class CallTimes:
    """What one call took, in ms: `compute` by the device's own events, the rest on the host."""

    enqueue: float
    h2d: float
    compute: float
    d2h: float


@runtime_checkable
class DeviceEngine(Protocol):
    """What `benchmark` asks beside `Engine` of an engine whose work lies on a device.

    `threshold`, which may be set: the masks of tiles that score so much are begun with the gate.
    `timed`, which may be set: each call is timed by the device, and that takes time itself.
    `conventions` is what makes times comparable: CUDA graph, spin wait, transfers, overlap.
    """

    threshold: float
    timed: bool

    @property
    def conventions(self) -> Mapping[str, bool]:
        """How this engine replays, waits and copies."""
        ...

    def call_times(self) -> CallTimes | None:
        """Of the last call of `gate` or `mask`; None where the device was not asked."""
        ...
