"""Turns samples into training tensors: preprocessed as on the device, then augmented."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from runtime.images import read_image
from runtime.preprocess import PixelFormat, Tile, preprocess
from runtime.spec import InputSpec
from runtime.tiling import halved, tiles
from train.dataset import Sample, read_mask
from train.masks import target_from_coverage


class TrainingTiles(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Image (H, W, C) uint8, mask (K, H/2, W/2) float in {0, 1}, label (K,) float, by index.

    Flips, since a surface has no up or down; brightness and contrast, since lamps age.
    """

    def __init__(self, samples: Sequence[Sample], spec: InputSpec) -> None:
        self._samples = samples
        self._spec = spec
        self._augment = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.5),
            ]
        )

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        sample, spec = self._samples[index], self._spec
        frame = read_image(sample.image, spec.channels)
        truth = read_mask(sample, (frame.shape[0], frame.shape[1]))
        tile = _training_tile(truth, spec)
        image = np.empty((spec.height, spec.width, spec.channels), np.uint8)
        coverage = np.empty((spec.height // 2, spec.width // 2, 1), np.uint8)
        preprocess(frame, PixelFormat.GREY if frame.ndim == 2 else PixelFormat.BGR, tile, image)  # noqa: PLR2004
        preprocess(truth, PixelFormat.GREY, halved(tile), coverage)
        mask = target_from_coverage(coverage[..., 0])[None]
        label = torch.tensor([float(_crop(truth, tile).any())])
        pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        pixels, drawn = self._augment(pixels, tv_tensors.Mask(torch.from_numpy(mask)))
        return pixels.permute(1, 2, 0).contiguous(), drawn.as_subclass(Tensor), label


def _training_tile(truth: npt.NDArray[np.uint8], spec: InputSpec) -> Tile:
    """One tile of the sample at random; of a defective sample, one that shows the defect."""
    placed = tiles((truth.shape[1], truth.shape[0]), spec.size, spec.fit)
    showing = [tile for tile in placed if _crop(truth, tile).any()] or placed
    return showing[int(torch.randint(len(showing), ()))]


def _crop(truth: npt.NDArray[np.uint8], tile: Tile) -> npt.NDArray[np.uint8]:
    r = tile.region
    return truth[r.y : r.y + r.height, r.x : r.x + r.width]
