"""What runs a bundle's two networks on one kind of device."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Engine(Protocol):
    """Runs the gate on a batch of tiles, and the mask head on one tile of that batch."""

    @property
    def name(self) -> str:
        """What runs, for the record: library, version, device."""
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
