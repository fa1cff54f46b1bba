"""Blobs against OpenCV's components and numpy, and what is refused."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from runtime import _native
from runtime.components import Defect, find_defects, mask_rle

Mask = npt.NDArray[np.uint8]

SAME = (1.0, 1.0)

masks = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=70),
    elements=st.sampled_from([0, 1, 127, 128, 254, 255]),
    fill=st.sampled_from([0, 255]),
)
thresholds = st.integers(1, 255)
scales = st.tuples(st.floats(0.25, 8), st.floats(0.25, 8))


def reference(mask: Mask, threshold: int) -> tuple[list[tuple[Any, ...]], npt.NDArray[np.int32]]:
    """(x, y, width, height, area, mean, peak, x, y) of each component, and each pixel's label."""
    foreground = (mask >= threshold).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    values = [mask[labels == label] for label in range(1, count)]
    return [
        (
            *row.tolist(),
            pytest.approx(inside.mean()),
            inside.max(),
            *(pytest.approx(side + 0.5) for side in centre),
        )
        for row, inside, centre in zip(stats[1:], values, centres[1:], strict=True)
    ], labels


def defects(*arguments: Any, **options: Any) -> list[Defect]:
    return find_defects(*arguments, **options).defects


def only(found: list[Defect]) -> Defect:
    assert len(found) == 1
    return found[0]


@given(masks, thresholds)
def test_components_are_those_of_opencv(mask: Mask, threshold: int):
    found, others = _native.components(mask, threshold, 0.0, SAME)
    wanted, _ = reference(mask, threshold)
    assert others == 0
    assert sorted(blob[:6] + blob[7:] for blob in found) == sorted(wanted, key=lambda b: b[:5])


@given(masks, thresholds, scales, st.floats(0, 60))
def test_small_components_are_dropped_and_kept_shows_the_others(
    mask: Mask, threshold: int, scale: tuple[float, float], min_area: float
):
    kept = np.full(mask.shape, 9, np.uint8)
    found, _ = _native.components(mask, threshold, min_area, scale, kept)
    components, labels = reference(mask, threshold)
    areas = [blob[4] for blob in components]
    large = [label for label, area in enumerate(areas, 1) if area * scale[0] * scale[1] >= min_area]
    assert sorted(blob[4] for blob in found) == sorted(areas[label - 1] for label in large)
    assert (kept == np.isin(labels, large)).all()


@given(masks, thresholds)
def test_the_largest_comes_first_then_the_higher_then_the_left(mask: Mask, threshold: int):
    found, _ = _native.components(mask, threshold, 0.0, SAME)
    order = [(-blob[4], blob[1], blob[0]) for blob in found]
    assert order == sorted(order)


@given(masks, thresholds, st.integers(1, 9))
def test_the_largest_are_listed_and_the_others_counted(mask: Mask, threshold: int, most: int):
    kept, all_kept = np.zeros_like(mask), np.zeros_like(mask)
    every, _ = _native.components(mask, threshold, 0.0, SAME, all_kept)
    some, others = _native.components(mask, threshold, 0.0, SAME, kept, most)
    assert some == every[:most]
    assert len(some) + others == len(every)
    assert (kept == all_kept).all()


def test_a_negative_number_of_defects_is_refused():
    with pytest.raises(ValueError, match="most -1: expected 1 or more, or 0 for all"):
        _native.components(MASK, 1, 0.0, SAME, None, -1)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
@given(masks)
def test_run_lengths_are_those_of_coco(mask: Mask):
    rle = mask_rle(mask)
    wanted = coco.encode(np.asfortranarray(mask != 0).view(np.uint8))
    assert rle.size == tuple(wanted["size"])
    assert rle.counts.encode() == wanted["counts"]
    assert (coco.decode({"size": rle.size, "counts": rle.counts}) == (mask != 0)).all()


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1), slice(None, None, 2)])
def test_run_lengths_of_a_large_mask_with_gaps(rows: slice):
    rng = np.random.default_rng(0)
    mask = (rng.random((700, 1100)) > 0.999).astype(np.uint8)
    mask[100:600, 300:900] = 1
    part = mask[rows, 10:1000]
    wanted = coco.encode(np.asfortranarray(part))
    assert mask_rle(part).counts.encode() == wanted["counts"]


@pytest.mark.parametrize(
    "mask",
    [np.zeros((6, 8), np.float32), np.zeros((6, 8, 1), np.uint8), np.zeros((0, 3), np.uint8)],
)
def test_run_lengths_of_no_mask_are_refused(mask: Any):
    with pytest.raises(ValueError, match="mask"):
        mask_rle(mask)


@given(masks, st.floats(0, 1))
def test_a_pixel_belongs_where_its_probability_reaches_the_threshold(mask: Mask, threshold: float):
    kept = np.zeros_like(mask)
    defects(mask, threshold, 0, SAME, kept=kept)
    assert (kept == ((mask / 255 >= threshold) & (mask > 0))).all()


def test_pixels_that_touch_at_a_corner_are_one_defect():
    assert only(defects(np.eye(9, dtype=np.uint8) * 255, 0.5, 0, SAME)).area_px == 9
    assert only(defects(np.eye(9, dtype=np.uint8)[::-1] * 255, 0.5, 0, SAME)).area_px == 9


def test_a_defect_is_measured_in_pixels_of_the_frame():
    mask = np.zeros((20, 30), np.uint8)
    mask[4:7, 10:20] = 102
    found = only(defects(mask, 0.4, 0, (4.0, 3.0), kind="scratch"))
    assert found == Defect(
        bbox=(40, 12, 40, 9),
        centroid=(60.0, 16.5),
        area_px=360.0,
        length_px=40.0,
        score=0.4,
        kind="scratch",
    )


def test_boxes_are_rounded_and_end_inside_the_frame():
    mask = np.full((541, 3), 255, np.uint8)
    found = only(defects(mask, 0.5, 0, (0.1, 1081 / 541)))
    assert found.bbox == (0, 0, 1, 1081)


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("count", [1, 2, 9, 64])
def test_a_row_of_pixels_is_as_long_as_it_reaches(count: int, scale: float):
    mask = np.zeros((70, 70), np.uint8)
    mask[3, 5 : 5 + count] = 255
    for drawn in (mask, mask.T.copy()):
        found = only(defects(drawn, 0.5, 0, (scale, scale)))
        assert found.length_px == pytest.approx(count * scale)


def test_a_diagonal_of_pixels_is_as_long_as_its_diagonals():
    mask = np.eye(12, dtype=np.uint8) * 255
    for drawn in (mask, mask[::-1]):
        found = only(defects(drawn, 0.5, 0, SAME))
        assert found.length_px == pytest.approx(12 * math.sqrt(2))


@given(st.floats(0, math.pi), st.integers(20, 80), st.integers(2, 9))
def test_a_turned_bar_keeps_its_length(angle: float, length: int, width: int):
    mask = np.zeros((120, 120), np.uint8)
    corners = cv2.boxPoints(((60, 60), (length, width), math.degrees(angle)))
    cv2.fillConvexPoly(mask, corners.round().astype(np.int32), 255)
    drawn_to_the_pixel = 4  # 3.54 at most, of 210000 bars
    assert abs(only(defects(mask, 0.5, 0, SAME)).length_px - length) <= drawn_to_the_pixel


@given(st.floats(0, math.pi), st.integers(40, 80), st.sampled_from([(2, 1), (1, 3), (2, 3)]))
def test_a_bar_has_one_length_at_any_scale_of_the_mask(
    angle: float, length: int, scale: tuple[int, int]
):
    frame = np.zeros((120, 120), np.uint8)
    corners = cv2.boxPoints(((60, 60), (length, 8), math.degrees(angle)))
    cv2.fillConvexPoly(frame, corners.round().astype(np.int32), 255)
    size = 120 // scale[0], 120 // scale[1]
    mask = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    whole, coarse = (only(defects(m, 0.5, 0, s)) for m, s in ((frame, SAME), (mask, scale)))
    assert abs(whole.length_px - coarse.length_px) <= 2 * max(scale)
    assert coarse.area_px == pytest.approx(whole.area_px, rel=0.25)


def test_the_main_axis_is_that_of_the_frame():
    column = np.zeros((9, 9), np.uint8)
    column[2:6, 4] = 255
    assert only(defects(column, 0.5, 0, (3.0, 0.5))).length_px == pytest.approx(3)
    assert only(defects(column, 0.5, 0, (3.0, 1.0))).length_px == pytest.approx(4)


def test_a_blob_without_a_main_axis_is_as_long_as_it_is_wide():
    square = np.full((5, 5), 255, np.uint8)
    assert only(defects(square, 0.5, 0, (2.0, 2.0))).length_px == pytest.approx(10)


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1), slice(None, None, 2)])
def test_mask_and_kept_may_have_gaps_between_rows(rows: slice):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 256, (40, 90), np.uint8)[rows, 10:70]
    room = np.full((40, 90), 9, np.uint8)
    kept, plain = room[rows, 10:70], np.zeros(mask.shape, np.uint8)
    found = defects(mask, 0.7, 2, SAME, kept=kept)
    assert found == defects(np.ascontiguousarray(mask), 0.7, 2, SAME, kept=plain)
    assert (kept == plain).all()
    room[rows, 10:70] = 9
    assert (room == 9).all()


def test_a_mask_of_nothing_has_no_defects():
    kept = np.full((4, 4), 9, np.uint8)
    assert defects(np.zeros((4, 4), np.uint8), 0.0, 0, SAME, kept=kept) == []
    assert not kept.any()


def read_only(array: Mask) -> Mask:
    array.setflags(write=False)
    return array


MASK = np.zeros((6, 8), np.uint8)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mask": np.zeros((6, 8, 1), np.uint8)}, r"mask: expected uint8 .*got shape \(6, 8, 1\)"),
        ({"mask": np.zeros((6, 8), np.float32)}, "mask: expected uint8 .*format 'f'"),
        ({"mask": np.zeros((6, 16), np.uint8)[:, ::2]}, "mask: .*with gaps; .*ascontiguousarray"),
        ({"mask": np.zeros((0, 8), np.uint8)}, "mask 8x0, .*expected a mask of 1"),
        ({"threshold": -0.1}, "mask threshold -0.1: expected a probability"),
        ({"threshold": 1.1}, "mask threshold 1.1"),
        ({"threshold": math.nan}, "mask threshold nan"),
        ({"min_area_px": -1.0}, "expected a finite min_area, 0 or more"),
        ({"min_area_px": math.nan}, r"\(nan, 1.0, 1.0\): expected a finite min_area"),
        ({"scale": (0.0, 1.0)}, "expected two finite scales above 0"),
        ({"scale": (1.0, math.inf)}, "expected two finite scales above 0"),
        ({"kept": np.zeros((8, 6), np.uint8)}, r"kept: expected writable .*got shape \(8, 6\)"),
        ({"kept": np.zeros((6, 8), np.int8)}, "kept: .*format 'b'"),
        ({"kept": read_only(np.zeros((6, 8), np.uint8))}, "kept: .*got read-only"),
        ({"kept": np.zeros((6, 16), np.uint8)[:, ::2]}, "kept: .*without gaps in a row"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], message: str):
    values = {"mask": MASK, "threshold": 0.5, "min_area_px": 0.0, "scale": SAME, "kept": None}
    assert defects(**values) == []
    with pytest.raises(ValueError, match=message):
        defects(**(values | changed))


@pytest.mark.parametrize("threshold", [0, 256, -(2**31), 2**31, 2**70])
def test_the_border_refuses_a_threshold_that_is_no_byte(threshold: int):
    with pytest.raises(ValueError, match=r"expected (a threshold from 1 to 255|32 bits)"):
        _native.components(MASK, threshold, 0.0, SAME)
