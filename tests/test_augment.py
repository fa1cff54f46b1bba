"""Augmentation: another look at the same surface, with its mask in the same place."""

import pytest
import torch

from train.augment import Augmentation

SIDE = 64


def square(x, y, side=12):
    """A grey surface with a bright square, and its mask."""
    coverage = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    coverage[:, y : y + side, x : x + side] = 255
    image = torch.where(coverage > 0, 200, 60).to(torch.uint8)
    return image, coverage


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_a_mask_moves_with_its_image(everything, seed):
    torch.manual_seed(seed)
    image, coverage = Augmentation(everything=everything)(*square(20, 30))
    assert image.dtype == coverage.dtype == torch.uint8
    assert image.shape == coverage.shape == (1, SIDE, SIDE)
    light = image.double()
    inside, outside = light[coverage == 255], light[coverage == 0]
    assert inside.median() > outside.median() + 40


def test_a_border_moves_between_the_pixels():
    torch.manual_seed(0)
    augment, areas = Augmentation(), []
    for _ in range(50):
        coverage = augment(*square(26, 26))[1].double() / 255
        assert (coverage > 0.9).any()
        areas.append(float(coverage.sum()))
    assert min(areas) + 1 > 0.7**2 * 144
    assert max(areas) < 1.3**2 * 144 + 1
    assert sum(area != round(area) for area in areas) > 20


def test_every_look_is_another_one():
    torch.manual_seed(0)
    augment = Augmentation()
    looks = {augment(*square(20, 30))[0].numpy().tobytes() for _ in range(20)}
    assert len(looks) == 20


@pytest.mark.parametrize("seed", range(40))
def test_a_defect_in_the_corner_stays_in_the_picture(seed):
    torch.manual_seed(seed)
    _, coverage = Augmentation()(*square(0, 0, side=1))
    assert coverage.any()


@pytest.mark.parametrize("seed", range(40))
def test_a_third_of_a_defect_stays_in_the_picture(seed):
    torch.manual_seed(seed)
    image, coverage = square(0, 12, side=8)
    _, seen = Augmentation()(image, coverage)
    assert 3 * seen.sum() >= coverage.sum()


@pytest.mark.parametrize("seed", range(40))
def test_every_class_of_a_sample_stays_in_the_picture(seed):
    torch.manual_seed(seed)
    image, corner = square(0, 0, side=1)
    both = torch.cat([corner, square(30, 30)[1]])
    _, coverage = Augmentation()(image, both)
    assert coverage.flatten(1).any(1).tolist() == [True, True]


def test_an_image_of_two_lines_is_augmented():
    torch.manual_seed(0)
    line, nothing = torch.full((1, 2, 300), 90, dtype=torch.uint8), torch.zeros(1, 2, 300).byte()
    assert {Augmentation()(line, nothing)[0].shape for _ in range(40)} == {(1, 2, 300)}


@pytest.mark.parametrize("size", [(64, 64), (64, 400), (96, 64), (32, 256)])
def test_no_turn_shows_a_black_corner(size):
    torch.manual_seed(0)
    bright = torch.full((3, *size), 200, dtype=torch.uint8)
    nothing = torch.zeros(1, *size, dtype=torch.uint8)
    darkest = min(int(Augmentation()(bright, nothing)[0].min()) for _ in range(150))
    assert darkest > 40


@pytest.mark.parametrize("seed", range(20))
def test_what_may_not_move_is_flipped_at_most(seed):
    torch.manual_seed(seed)
    image, coverage = square(0, 0)
    _, seen = Augmentation()(image, coverage, may_move=False)
    flips = [torch.flip(coverage, axes) for axes in ((), (1,), (2,), (1, 2))]
    assert any(torch.equal(seen, flip) for flip in flips)
