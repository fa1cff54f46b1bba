"""Turns samples into training tensors: preprocessed as on the device, then augmented."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from runtime.images import Image, read_image
from runtime.preprocess import PixelFormat, Rect, Tile, preprocess
from runtime.spec import InputSpec
from runtime.tiling import Fit, tiles
from train.augment import Augmentation
from train.dataset import read_mask
from train.masks import target_from_coverage
from train.paste import paste
from train.sample import Sample

DRAWN = 255
PASTE_SHARE = 0.3  # of the good samples


class Example(NamedTuple):
    """One training tile, or a batch of them.

    Image (H, W, C) uint8; mask (K, H/2, W/2) and label (K,) float in {0, 1}; `drawn` () float is
    0 where the mask is not known.
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    drawn: Tensor


class TrainingTiles(Dataset[Example]):
    """An example of each sample, by index: another one each time.

    With `augment`, some good samples get the defect of another sample.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: InputSpec,
        class_names: Sequence[str],
        *,
        augment: bool = True,
    ) -> None:
        self._samples = samples
        self._spec = spec
        self._class_names = class_names
        self._augment = Augmentation(everything=augment)
        self._donors = [s for s in samples if s.defective and s.drawing] if augment else []

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        sample = self._samples[index]
        image, coverage = self._look_at(sample)
        if not sample.defective and self._donors and torch.rand(()) < PASTE_SHARE:
            donor = self._donors[int(torch.randint(len(self._donors), ()))]
            image, coverage = paste(image, *self._look_at(donor))
        seen, drawn = self._augment(torch.from_numpy(image), torch.from_numpy(coverage))
        known = sample.drawing is not None or not sample.defective
        return Example(
            seen.permute(1, 2, 0).contiguous(),
            _targets(drawn),
            drawn.flatten(1).any(1).float() if known else self._known_label(sample),
            torch.tensor(float(known)),
        )

    def _look_at(self, sample: Sample) -> tuple[Image, Image]:
        """A tile of the sample (C, H, W), and how much of each pixel is defective (K, H, W)."""
        frame = read_image(sample.image, self._spec.channels)
        truth = read_mask(sample, (frame.shape[0], frame.shape[1]))
        tile = training_tile(truth, self._spec)
        pixel_format = PixelFormat.GREY if frame.ndim == 2 else PixelFormat.BGR  # noqa: PLR2004
        classes = range(1, len(self._class_names) + 1)
        masks = [
            _preprocessed(_one_class(truth, k), PixelFormat.GREY, tile, self._spec) for k in classes
        ]
        return _preprocessed(frame, pixel_format, tile, self._spec), np.concatenate(masks)

    def _known_label(self, sample: Sample) -> Tensor:
        names = self._class_names
        return torch.tensor([float(len(names) == 1 or sample.kind == name) for name in names])


def training_tile(truth: Image, spec: InputSpec) -> Tile:
    """One tile of a sample; where the fit is `tile`, anywhere, but on a defect if there is one."""
    height, width = truth.shape
    tile = tiles((width, height), spec.size, spec.fit, scale=spec.scale)[0]
    if spec.fit is not Fit.TILE:
        return tile
    rows, columns = np.nonzero(truth)
    chosen = int(torch.randint(max(1, rows.size), ()))
    must_show = (int(columns[chosen]), int(rows[chosen])) if rows.size else (None, None)
    x = _begin(width, tile.region.width, must_show[0])
    y = _begin(height, tile.region.height, must_show[1])
    return Tile(Rect(x, y, tile.region.width, tile.region.height), tile.target)


def _begin(length: int, piece: int, must_show: int | None) -> int:
    """Where a piece begins at random, so that it shows the pixel `must_show`."""
    first, last = 0, length - piece
    if must_show is not None:
        first, last = max(first, must_show - piece + 1), min(last, must_show)
    return int(torch.randint(first, last + 1, ()))


def _preprocessed(frame: Image, pixel_format: PixelFormat, tile: Tile, spec: InputSpec) -> Image:
    """The tile (C, H, W) as the device would make it."""
    channels = 1 if pixel_format is PixelFormat.GREY else spec.channels
    pixels = np.zeros((spec.height, spec.width, channels), np.uint8)
    preprocess(frame, pixel_format, tile, pixels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _one_class(truth: Image, index: int) -> Image:
    return np.where(truth == index, DRAWN, 0).astype(np.uint8)


def _targets(coverage: Tensor) -> Tensor:
    """Coverage (K, H, W) as 0 or 1 at the mask's size, (K, H/2, W/2)."""
    halves = functional.avg_pool2d(coverage.float(), 2).ceil().to(torch.uint8)
    targets: list[npt.NDArray[np.float32]] = [target_from_coverage(c.numpy()) for c in halves]
    return torch.from_numpy(np.stack(targets))
