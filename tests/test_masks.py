"""Shrunken masks: no defect vanishes, and none grows where it need not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from runtime.preprocess import PixelFormat, Rect, Tile, preprocess
from train.masks import target_from_coverage

EIGHT_NEIGHBOURS = np.ones((3, 3))
coverages = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 0, 0, 0, 1, 60, 127, 128, 255]),
)


@given(coverages)
def test_every_defect_keeps_a_pixel(coverage):
    target = target_from_coverage(coverage)
    labels, count = ndimage.label(coverage, EIGHT_NEIGHBOURS)
    assert set(labels[target >= 0.5]) == set(range(1, count + 1))


@given(coverages)
def test_pixels_keep_their_share_of_the_largest_coverage_of_their_defect(coverage):
    target = target_from_coverage(coverage)
    labels, count = ndimage.label(coverage, EIGHT_NEIGHBOURS)
    assert target.dtype == np.float32
    assert target.shape == coverage.shape
    assert not target[coverage == 0].any()
    for number in range(1, count + 1):
        component = coverage[labels == number]
        expected = component / np.float32(component.max())
        assert np.array_equal(target[labels == number], expected)


@given(st.integers(16, 256), st.integers(16, 256), st.data())
def test_a_single_pixel_survives_the_real_shrinking(width, height, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    truth = np.zeros((height, width), np.uint8)
    truth[y, x] = 255
    coverage = np.empty((16, 16, 1), np.uint8)
    whole = Tile(Rect(0, 0, width, height), Rect(0, 0, 16, 16))
    preprocess(truth, PixelFormat.GREY, whole, coverage)
    rows, columns = np.nonzero(target_from_coverage(coverage[..., 0]))
    assert rows.size >= 1
    assert np.abs((rows + 0.5) * height / 16 - (y + 0.5)).max() <= height / 16
    assert np.abs((columns + 0.5) * width / 16 - (x + 0.5)).max() <= width / 16


@pytest.mark.parametrize("strength", [1, 127, 128, 254])
def test_a_hairline_is_kept_whole(strength):
    coverage = np.diag(np.full(9, strength, np.uint8))
    assert np.array_equal(target_from_coverage(coverage), np.eye(9))
