"""Pasted defects: whole, at the level of their new surface, and nothing else is changed."""

import cv2
import numpy as np
import pytest
import torch

from train.paste import SIZE, STRENGTH, paste

SIDE = 64


def donor(level, difference, box=(10, 20, 8, 6)):
    """A surface (1, 64, 64) with a plain defect, and its mask."""
    rng = np.random.default_rng(0)
    image = rng.normal(level, 2, (1, SIDE, SIDE))
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    y, x, height, width = box
    mask[:, y : y + height, x : x + width] = 255
    return (image + difference * (mask > 0)).clip(0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("seed", range(10))
def test_a_defect_stands_out_from_a_brighter_surface_about_as_much(seed):
    torch.manual_seed(seed)
    surface = np.full((1, SIDE, SIDE), 150, np.uint8)
    pasted, coverage = paste(surface, *donor(60, -30))
    weakest, strongest = STRENGTH
    difference = 150 - np.median(pasted[coverage == 255])
    assert 30 * weakest - 3 < difference < 30 * strongest + 3


def test_a_defect_comes_in_every_size_and_direction():
    torch.manual_seed(0)
    surface = np.full((1, SIDE, SIDE), 150, np.uint8)
    areas, tall = [], 0
    for _ in range(100):
        coverage = paste(surface, *donor(60, 40, (10, 20, 12, 4)))[1][0]
        rows, columns = np.nonzero(coverage)
        areas.append(coverage.sum() / 255 / (12 * 4))
        tall += np.ptp(rows) > np.ptp(columns)
    assert 0.9 / SIZE**2 < min(areas) < 0.7
    assert 1.5 < max(areas) < 1.1 * SIZE**2
    assert 30 < tall < 70


@pytest.mark.parametrize("seed", range(10))
def test_far_from_the_defect_the_surface_stays_as_it_was(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    surface = rng.integers(0, 255, (1, SIDE, SIDE)).astype(np.uint8)
    pasted, coverage = paste(surface, *donor(60, 40))
    changed = (pasted != surface)[0]
    rows, columns = np.nonzero(coverage[0])
    near = np.zeros_like(changed)
    near[
        max(0, rows.min() - 9) : rows.max() + 10, max(0, columns.min() - 9) : columns.max() + 10
    ] = 1
    assert not (changed & ~near).any()


def test_defects_come_to_lie_anywhere():
    torch.manual_seed(0)
    surface = np.full((1, SIDE, SIDE), 150, np.uint8)
    places = {tuple(np.argwhere(paste(surface, *donor(60, 40))[1][0])[0]) for _ in range(50)}
    assert len(places) > 40


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (SIDE - 1, 0, 1, SIDE), (0, 0, SIDE, SIDE)])
@pytest.mark.parametrize("seed", range(10))
def test_defects_at_the_border_and_over_everything_are_pasted_too(box, seed):
    torch.manual_seed(seed)
    surface = np.full((1, SIDE, SIDE), 150, np.uint8)
    _, coverage = paste(surface, *donor(60, 40, box))
    assert coverage.any()


@pytest.mark.parametrize("seed", range(30))
def test_nothing_of_a_defect_is_pasted_beside_its_mask(seed):
    torch.manual_seed(seed)
    surface = np.full((1, SIDE, SIDE), 150, np.uint8)
    pasted, coverage = paste(surface, *donor(60, 80, (20, 0, 20, 6)))
    far = cv2.dilate(coverage[0], np.ones((9, 9), np.uint8)) == 0
    assert np.abs(pasted[0].astype(int) - 150)[far].max() < 20


def test_every_class_keeps_its_own_mask():
    image, mask = donor(60, 40)
    two = np.concatenate([np.zeros_like(mask), mask])
    _, coverage = paste(np.full((1, SIDE, SIDE), 150, np.uint8), image, two)
    assert not coverage[0].any()
    assert coverage[1].any()


def test_a_defect_that_is_larger_than_the_surface_is_left_out():
    surface = np.full((1, 16, SIDE), 150, np.uint8)
    pasted, coverage = paste(surface, *donor(60, 40, (10, 20, 30, 6)))
    assert np.array_equal(pasted, surface)
    assert coverage.shape == surface.shape
    assert not coverage.any()
