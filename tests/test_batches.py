"""Training tiles: the pixels of the device, the mask that goes with them, and what is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DataError
from runtime.images import write_png
from runtime.spec import InputSpec
from runtime.tiling import Fit
from train import batches
from train.batches import TrainingTiles, training_tile
from train.drawing import MaskFile
from train.sample import Sample

SPEC = InputSpec(64, 32, 1)


@pytest.fixture
def sample(tmp_path):
    """A surface of 128x64 with a defect of class 2 in its left upper corner."""
    image, mask = np.full((64, 128), 90, np.uint8), np.zeros((64, 128), np.uint8)
    image[:16, :32], mask[:16, :32] = 200, 2
    write_png(tmp_path / "a.png", image)
    write_png(tmp_path / "m.png", mask)
    drawing = MaskFile(tmp_path / "m.png", None)
    return Sample("a", tmp_path / "a.png", drawing, True, "pit", "train", "a")  # noqa: FBT003


def example_of(sample, spec=SPEC, names=("crack", "pit"), *, augment=False):
    torch.manual_seed(3)
    return TrainingTiles([sample], spec, names, augment=augment)[0]


@pytest.mark.parametrize("augment", [True, False])
def test_an_example_has_the_shapes_of_the_network(sample, augment):
    example = example_of(sample, augment=augment)
    assert (example.image.shape, example.image.dtype) == ((32, 64, 1), torch.uint8)
    assert (example.mask.shape, example.label.shape) == ((2, 32, 64), (2,))
    assert float(example.drawn) == 1


def test_each_class_has_its_mask_and_its_label(sample):
    example = example_of(sample)
    assert example.label.tolist() == [0, 1]
    assert not example.mask[0].any()
    assert int(example.mask[1].sum()) == 8 * 16


def test_a_defect_that_is_not_drawn_has_a_label_and_no_mask(sample):
    example = example_of(replace(sample, drawing=None))
    assert (example.label.tolist(), float(example.drawn)) == ([0, 1], 0)
    one_class = example_of(replace(sample, drawing=None), names=("defect",))
    assert one_class.label.tolist() == [1]


@pytest.mark.parametrize("seed", range(40))
def test_a_defect_that_is_not_drawn_stays_in_the_picture(sample, seed):
    torch.manual_seed(seed)
    image = TrainingTiles([replace(sample, drawing=None)], SPEC, ("crack", "pit"))[0].image.double()
    corners = [
        image[rows, columns]
        for rows in (slice(8), slice(-8, None))
        for columns in (slice(16), slice(-16, None))
    ]
    assert max(float(corner.median()) for corner in corners) > image.median() + 40


def test_a_good_sample_is_known_to_have_no_mask(sample):
    example = example_of(replace(sample, drawing=None, defective=False, kind="good"))
    assert (example.label.tolist(), float(example.drawn)) == ([0, 0], 1)
    assert not example.mask.any()


@given(st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_tile_of_a_defective_sample_shows_its_defect(seed, scale):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    truth = np.zeros((rng.integers(8, 200), rng.integers(8, 200)), np.uint8)
    row, column = rng.integers(truth.shape[0]), rng.integers(truth.shape[1])
    truth[row, column] = 1
    region = training_tile(truth, InputSpec(32, 32, 1, Fit.TILE, scale)).region
    assert 0 <= region.x <= column < region.x + region.width <= truth.shape[1]
    assert 0 <= region.y <= row < region.y + region.height <= truth.shape[0]


def test_tiles_of_a_large_sample_lie_anywhere():
    torch.manual_seed(0)
    spec = InputSpec(32, 32, 1, Fit.TILE)
    nothing = np.zeros((100, 100), np.uint8)
    assert len({training_tile(nothing, spec).region for _ in range(50)}) > 40


def test_a_thin_defect_does_not_vanish_when_it_shrinks(sample, tmp_path):
    mask = np.zeros((64, 128), np.uint8)
    mask[:, 70] = 2
    write_png(tmp_path / "m.png", mask)
    example = example_of(sample)
    assert example.mask[1].sum() == 32


def test_a_defect_of_one_pixel_is_taught_however_far_it_shrinks(sample, tmp_path):
    image, mask = np.full((1024, 2048), 90, np.uint8), np.zeros((1024, 2048), np.uint8)
    mask[1000, 40] = 2
    write_png(tmp_path / "a.png", image)
    write_png(tmp_path / "m.png", mask)
    example = example_of(sample)
    assert example.label.tolist() == [0, 1]
    assert example.mask[1].sum() == 1
    (row,), (column,) = np.nonzero(example.mask[1].numpy())
    assert row in {1000 // 32, 31 - 1000 // 32}
    assert column in {40 // 32, 63 - 40 // 32}


@pytest.mark.parametrize("seed", range(10))
def test_what_a_letterbox_leaves_empty_stays_empty(sample, seed):
    torch.manual_seed(seed)
    spec = InputSpec(64, 64, 1, Fit.LETTERBOX)
    good = replace(sample, drawing=None, defective=False, kind="good")
    for example in (TrainingTiles([good, sample], spec, ("crack", "pit"))[n] for n in (0, 1)):
        assert not example.image[:16].any()
        assert not example.image[48:].any()
        assert not example.mask[:, :16].any()
        assert not example.mask[:, 48:].any()


@pytest.mark.parametrize("kept_bytes", [0, 10**6])
def test_a_sample_is_read_once_while_there_is_room(sample, kept_bytes, monkeypatch):
    monkeypatch.setattr(batches, "KEPT_BYTES", kept_bytes)
    tiles = TrainingTiles([sample], SPEC, ("crack", "pit"))
    torch.manual_seed(0)
    first = tiles[0]
    sample.image.unlink()
    torch.manual_seed(0)
    if kept_bytes:
        assert all(torch.equal(*pair) for pair in zip(first, tiles[0], strict=True))
    else:
        with pytest.raises(DataError, match=r"a\.png"):
            tiles[0]
