"""Turns samples into training tensors: preprocessed as on the device, then augmented."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from runtime.errors import DataError
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
PASTE_SHARE = 0.5  # of the good samples
KEPT_BYTES = 2**29  # of samples that were read


class Example(NamedTuple):
    """One training tile, or a batch of them.

    Image (H, W, C) uint8; mask (K, H, W) float, the share of each pixel that is defective;
    label (K,) float in {0, 1}; `drawn` () float is 0 where the mask is not known.
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    drawn: Tensor


class Look(NamedTuple):
    """A tile (C, h, w), how much of each of its pixels is defective (K, h, w), and its place."""

    image: Image
    coverage: Image
    place: Rect


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
        drawn = [n for n, sample in enumerate(samples) if sample.defective and sample.drawing]
        self._donors = drawn if augment else []
        self._kept: dict[int, Look] = {}
        self._room = KEPT_BYTES

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        sample = self._samples[index]
        image, coverage, place = self._look_at(index)
        if not sample.defective and self._donors and torch.rand(()) < PASTE_SHARE:
            donor = self._donors[int(torch.randint(len(self._donors), ()))]
            image, coverage = paste(image, *self._look_at(donor)[:2])
        known = sample.drawing is not None or not sample.defective
        planes = torch.from_numpy(image), torch.from_numpy(coverage)
        seen, drawn = self._augment(*planes, may_move=known)
        mask = _targets(_in_the_input(drawn, place, self._spec))
        return Example(
            _in_the_input(seen, place, self._spec).permute(1, 2, 0).contiguous(),
            mask,
            drawn.flatten(1).any(1).float() if known else self._known_label(sample),
            torch.tensor(float(known)),
        )

    def _look_at(self, index: int) -> Look:
        """What `_read` gives; kept while there is room, if it is the same each time.

        A worker keeps nothing: it ends with its epoch.
        """
        if index in self._kept:
            return self._kept[index]
        look = self._read(self._samples[index])
        size = look.image.nbytes + look.coverage.nbytes
        same = self._spec.fit is not Fit.TILE
        if same and size <= self._room and get_worker_info() is None:
            self._kept[index] = look
            self._room -= size
        return look

    def _read(self, sample: Sample) -> Look:
        """A tile of the sample.

        Raises:
            DataError: unreadable, or of a size that cannot be brought to the input.
        """
        frame = read_image(sample.image, self._spec.channels)
        truth = read_mask(sample, (frame.shape[0], frame.shape[1]))
        tile = training_tile(truth, self._spec)
        pixel_format = PixelFormat.GREY if frame.ndim == 2 else PixelFormat.BGR  # noqa: PLR2004
        with _said_of(sample):
            pixels = _preprocessed(frame, pixel_format, tile, self._spec)
            masks = [
                _coverage(truth == k, tile, self._spec)
                for k in range(1, len(self._class_names) + 1)
            ]
        return Look(pixels, np.concatenate(masks), tile.target)

    def _known_label(self, sample: Sample) -> Tensor:
        names = self._class_names
        return torch.tensor([float(len(names) == 1 or sample.kind == name) for name in names])


def check_shape(sample: Sample, spec: InputSpec) -> tuple[int, int, int]:
    """(width, height, channels) of a sample's image, of 3 channels where it has colour.

    Raises:
        DataError: unreadable, or more than 128 times as wide or as high as the input.
    """
    frame = read_image(sample.image, channels=3)
    height, width, _ = frame.shape
    tile = tiles((width, height), spec.size, spec.fit, scale=spec.scale)[0]
    grey = np.ascontiguousarray(frame[..., 0])
    with _said_of(sample):
        _preprocessed(grey, PixelFormat.GREY, tile, spec)
    return width, height, 1 if (frame == grey[..., None]).all() else 3


@contextmanager
def _said_of(sample: Sample) -> Iterator[None]:
    """Names the sample whose image cannot be brought to the input."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{sample.image}: {error}; cut it with --fit tile") from error


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
    """The tile (C, h, w) as the device would make it, without what lies around its target."""
    channels = 1 if pixel_format is PixelFormat.GREY else spec.channels
    pixels = np.zeros((spec.height, spec.width, channels), np.uint8)
    preprocess(frame, pixel_format, tile, pixels)
    t = tile.target
    shown = pixels[t.y : t.y + t.height, t.x : t.x + t.width]
    return np.array(shown.transpose(2, 0, 1), order="C")


def _coverage(drawn: npt.NDArray[np.bool_], tile: Tile, spec: InputSpec) -> Image:
    """How much of each pixel is defective, (1, h, w), 255 for all; never 0 where a defect is."""
    region, target = tile.region, tile.target
    white = np.where(drawn, DRAWN, 0).astype(np.uint8)
    coverage = _preprocessed(white, PixelFormat.GREY, tile, spec)
    rows, columns = np.nonzero(
        drawn[region.y : region.y + region.height, region.x : region.x + region.width]
    )
    touched = rows * target.height // region.height, columns * target.width // region.width
    coverage[0][touched] = np.maximum(coverage[0][touched], 1)
    return coverage


def _in_the_input(planes: Tensor, place: Rect, spec: InputSpec) -> Tensor:
    """The planes at their place in the network's input, 0 around them."""
    whole = torch.zeros((len(planes), spec.height, spec.width), dtype=planes.dtype)
    whole[:, place.y : place.y + place.height, place.x : place.x + place.width] = planes
    return whole


def _targets(coverage: Tensor) -> Tensor:
    """Coverage (K, H, W), 0 to 255, as targets of the same size, 0 to 1."""
    return torch.from_numpy(np.stack([target_from_coverage(c.numpy()) for c in coverage]))
