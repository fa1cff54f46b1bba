"""Runs the network itself as an engine, for evaluation before there is a bundle."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from runtime.engine import MOST_TILES
from train.network import JointNetwork


class TorchEngine:
    """The engine contract (`runtime.engine.Engine`) over a joint network in evaluation mode."""

    tiles = MOST_TILES

    def __init__(self, network: JointNetwork) -> None:
        self._network = network.eval()
        self._device = next(network.parameters()).device

    @property
    def name(self) -> str:
        """Library, version and device."""
        return f"torch {torch.__version__} {self._device}"

    @torch.inference_mode()
    def gate(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Any]:
        """Scores (N, K) and the encoder's features."""
        skips = self._network.encode(torch.from_numpy(images).to(self._device))
        mask = None if self._network.classifier else self._network.decoder(skips)
        scores = torch.sigmoid(self._network.classify(skips, mask))
        return scores.float().cpu().numpy(), skips

    @torch.inference_mode()
    def mask(self, skips: Any, tile: int) -> npt.NDArray[np.uint8]:
        """The mask of one tile, probability x 255, (K, H, W)."""
        logits = self._network.decoder([skip[tile : tile + 1] for skip in skips])[0]
        pixels: npt.NDArray[np.uint8] = (
            (torch.sigmoid(logits) * 255 + 0.5).to(torch.uint8).cpu().numpy()
        )
        return pixels
