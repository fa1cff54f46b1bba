"""Contrast to noise against scipy, and on images whose contrast is known."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from train.contrast import contrast_to_noise

SIZE = (60, 70)
RING_PX = 12


def surface(seed, noise=6.0):
    pixels = 120 + noise * np.random.default_rng(seed).standard_normal(SIZE)
    return np.clip(pixels.round(), 0, 255).astype(np.uint8)


def square(y=30, x=30, side=6):
    mask = np.zeros(SIZE, np.uint8)
    mask[y : y + side, x : x + side] = 255
    return mask


def reference(grey, mask):
    inside = mask > 0
    near = ndimage.maximum_filter(inside, size=2 * RING_PX + 1, mode="constant", cval=0)
    around = grey[near & ~inside].astype(float)
    noise = stats.median_abs_deviation(around, scale="normal")
    return abs(np.median(grey[inside]) - np.median(around)) / max(1, noise)


@given(st.integers(0, 99), st.integers(0, 54), st.integers(0, 64), st.integers(1, 6))
def test_contrast_is_the_reference_formula(seed, y, x, side):
    image, mask = surface(seed), square(y, x, side)
    image[mask > 0] //= 2
    assert contrast_to_noise(image, mask) == pytest.approx(reference(image, mask), rel=1e-4)


def test_contrast_of_a_known_pattern():
    image = np.full(SIZE, 98, np.uint8)
    image[:, ::2] = 102
    image[square() > 0] = 130
    assert contrast_to_noise(image, square()) == pytest.approx(30 / (1.4826 * 2))


@pytest.mark.parametrize("inside", [70, 130])
def test_dark_and_bright_defects_count_alike_and_noise_is_at_least_one_level(inside):
    image = np.full(SIZE, 100, np.uint8)
    image[square() > 0] = inside
    assert contrast_to_noise(image, square()) == 30


def test_what_is_farther_than_the_ring_does_not_matter():
    image, mask = surface(1), square(side=4)
    changed = image.copy()
    near = cv2.dilate(mask, np.ones((2 * RING_PX + 1, 2 * RING_PX + 1), np.uint8)) > 0
    changed[~near] = 255
    assert contrast_to_noise(changed, mask) == contrast_to_noise(image, mask)
    changed[near & (mask == 0)] = 0
    assert contrast_to_noise(changed, mask) != contrast_to_noise(image, mask)


def test_colour_is_judged_by_its_lightness():
    grey = surface(2)
    grey[square() > 0] = 200
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    assert contrast_to_noise(colour, square()) == contrast_to_noise(grey, square())


def test_the_contrast_of_a_defect_that_fills_the_image_is_unknown():
    assert np.isnan(contrast_to_noise(surface(3), np.full(SIZE, 255, np.uint8)))
