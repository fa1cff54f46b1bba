"""Where tiles lie, and that their masks become the sample's mask again."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.preprocess import PixelFormat, preprocess
from runtime.tiling import Canvas, Fit, Rect, Tile, mask_canvas, tiles

Size = tuple[int, int]

frame_sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))
input_sizes = st.tuples(st.integers(16, 128), st.integers(16, 128))
fits = st.sampled_from(Fit)
overlaps = st.floats(0, 0.6)
scales = st.floats(0.2, 2.0)


def ends(rect: Rect) -> Size:
    return rect.x + rect.width, rect.y + rect.height


@given(frame_sizes, input_sizes, fits, overlaps, scales)
def test_tiles_cover_every_pixel(
    frame_size: Size, input_size: Size, fit: Fit, overlap: float, scale: float
):
    seen = np.zeros(frame_size[::-1], np.bool_)
    for tile in tiles(frame_size, input_size, fit, overlap, scale):
        region, (right, bottom) = tile.region, ends(tile.region)
        assert min(region.x, region.y) >= 0
        assert min(region.width, region.height) >= 1
        assert right <= frame_size[0]
        assert bottom <= frame_size[1]
        seen[region.y : bottom, region.x : right] = True
    assert seen.all()


@given(frame_sizes, input_sizes, fits, scales)
def test_targets_lie_in_the_input(frame_size: Size, input_size: Size, fit: Fit, scale: float):
    for tile in tiles(frame_size, input_size, fit, scale=scale):
        target, (right, bottom) = tile.target, ends(tile.target)
        assert min(target.x, target.y) >= 0
        assert min(target.width, target.height) >= 1
        assert right <= input_size[0]
        assert bottom <= input_size[1]


@given(frame_sizes, input_sizes, overlaps)
def test_tiles_keep_the_frames_scale(frame_size: Size, input_size: Size, overlap: float):
    for tile in tiles(frame_size, input_size, Fit.TILE, overlap):
        for length, room, region, target in (
            (frame_size[0], input_size[0], tile.region.width, tile.target.width),
            (frame_size[1], input_size[1], tile.region.height, tile.target.height),
        ):
            assert region == target == min(length, room)


@given(frame_sizes, input_sizes, scales)
def test_tiles_bring_the_frame_to_the_scale(frame_size: Size, input_size: Size, scale: float):
    for tile in tiles(frame_size, input_size, Fit.TILE, scale=scale):
        for region, target in (
            (tile.region.width, tile.target.width),
            (tile.region.height, tile.target.height),
        ):
            assert abs(target - scale * region) <= 1


@given(frame_sizes, input_sizes, scales)
def test_the_masks_of_scaled_tiles_lie_where_their_tiles_do(
    frame_size: Size, input_size: Size, scale: float
):
    placed = tiles(frame_size, input_size, Fit.TILE, scale=scale)
    for index, tile in enumerate(placed):
        target = tile.target
        mask = np.zeros((1, *input_size[::-1]), np.uint8)
        mask[:, target.y : target.y + target.height, target.x : target.x + target.width] = 255
        canvas = mask_canvas(frame_size, input_size, placed, {index: mask})
        rows, columns = np.nonzero(canvas.masks[0])
        for first, begin, ratio in (
            (columns.min(), tile.region.x, canvas.scale[0]),
            (rows.min(), tile.region.y, canvas.scale[1]),
        ):
            assert abs(first - begin / ratio) <= 1.5


@given(st.integers(1, 2000), st.integers(16, 128), st.floats(0, 0.6))
def test_neighbours_share_the_overlap_and_no_tile_is_too_many(
    length: int, room: int, overlap: float
):
    begins = [tile.region.x for tile in tiles((length, 1), (room, 1), Fit.TILE, overlap)]
    gaps = np.diff(begins)
    step = room - np.ceil(room * overlap)
    assert (gaps <= step).all()
    assert gaps.max(initial=0) - gaps.min(initial=room) <= 1
    assert len(begins) == 1 + np.ceil(max(0, length - room) / step)


def test_the_default_overlap_is_an_eighth():
    begins = [tile.region.x for tile in tiles((240, 64), (128, 64), Fit.TILE)]
    assert begins == [0, 112]
    assert len(tiles((241, 64), (128, 64), Fit.TILE)) == 3


def test_stretch_takes_all_of_both():
    whole = Tile(Rect(0, 0, 1920, 1080), Rect(0, 0, 640, 352))
    assert tiles((1920, 1080), (640, 352), Fit.STRETCH) == [whole]


@pytest.mark.parametrize(
    ("frame_size", "target"),
    [
        ((1920, 1080), Rect(0, 12, 320, 180)),
        ((1080, 1920), Rect(102, 0, 115, 204)),
        ((320, 204), Rect(0, 0, 320, 204)),
        ((319, 101), Rect(0, 51, 320, 101)),
        ((40, 40), Rect(58, 0, 204, 204)),
        ((4000, 1), Rect(0, 101, 320, 1)),
    ],
)
def test_letterbox_keeps_the_aspect_and_centres(frame_size: Size, target: Rect):
    (tile,) = tiles(frame_size, (320, 204), Fit.LETTERBOX)
    assert tile == Tile(Rect(0, 0, *frame_size), target)


def test_a_small_frame_is_centred():
    (tile,) = tiles((101, 60), (128, 64), Fit.TILE)
    assert tile == Tile(Rect(0, 0, 101, 60), Rect(13, 2, 101, 60))


def painted(frame_size: Size, seed: int) -> npt.NDArray[np.uint8]:
    """A mask with soft borders, as a network draws them."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(frame_size[::-1], np.uint8)
    for _ in range(5):
        centre = [int(rng.integers(side)) for side in frame_size]
        cv2.circle(mask, centre, int(rng.integers(3, 15)), int(rng.integers(90, 256)), -1)
    return cv2.GaussianBlur(mask, (0, 0), 2)


def resized(mask: npt.NDArray[np.uint8], tile: Tile, size: Size) -> npt.NDArray[np.uint8]:
    out = np.full((size[1], size[0], 1), 255, np.uint8)
    preprocess(mask, PixelFormat.GREY, tile, out, fill=255)
    return out[None, :, :, 0]


def direct(mask: npt.NDArray[np.uint8], canvas: Canvas) -> npt.NDArray[np.uint8]:
    size = canvas.masks.shape[2], canvas.masks.shape[1]
    return resized(mask, Tile(Rect(0, 0, *mask.shape[::-1]), Rect(0, 0, *size)), size)[0]


def round_trip(mask: npt.NDArray[np.uint8], input_size: Size, fit: Fit) -> Canvas:
    frame_size = mask.shape[1], mask.shape[0]
    placed = tiles(frame_size, input_size, fit)
    masks = {i: resized(mask, tile, input_size) for i, tile in enumerate(placed)}
    return mask_canvas(frame_size, input_size, placed, masks)


@given(frame_sizes, input_sizes, st.integers(0, 9))
def test_tile_masks_become_the_mask_of_the_frame(frame_size: Size, input_size: Size, seed: int):
    mask = painted(frame_size, seed)
    canvas = round_trip(mask, input_size, Fit.TILE)
    assert (canvas.masks[0] == mask).all()
    assert canvas.scale == (1, 1)


@given(frame_sizes, input_sizes, st.sampled_from([Fit.STRETCH, Fit.LETTERBOX]))
def test_the_mask_of_one_tile_is_its_target(frame_size: Size, input_size: Size, fit: Fit):
    mask = painted(frame_size, 3)
    canvas = round_trip(mask, input_size, fit)
    assert (canvas.masks[0] == direct(mask, canvas)).all()


@given(frame_sizes, input_sizes, fits)
def test_the_canvas_covers_the_frame_exactly(frame_size: Size, input_size: Size, fit: Fit):
    canvas = mask_canvas(frame_size, input_size, tiles(frame_size, input_size, fit), {}, classes=2)
    _, height, width = canvas.masks.shape
    assert canvas.masks.shape[0] == 2
    assert not canvas.masks.any()
    assert (width * canvas.scale[0], height * canvas.scale[1]) == pytest.approx(frame_size)


def test_the_larger_mask_wins_where_tiles_overlap():
    placed = tiles((24, 16), (16, 16), Fit.TILE)
    assert [tile.region.x for tile in placed] == [0, 8]
    weak, strong = np.full((1, 16, 16), 10, np.uint8), np.full((1, 16, 16), 200, np.uint8)
    both = mask_canvas((24, 16), (16, 16), placed, {0: weak, 1: strong})
    assert both.masks[0, 0].tolist() == [10] * 8 + [200] * 16
    one = mask_canvas((24, 16), (16, 16), placed, {0: weak})
    assert one.masks[0, 0].tolist() == [10] * 16 + [0] * 8


def test_a_mask_of_another_shape_is_refused():
    placed = tiles((16, 16), (16, 16), Fit.TILE)
    with pytest.raises(ValueError, match=r"tile 0: expected shape \(1, 16, 16\).* got \(1, 8, 8\)"):
        mask_canvas((16, 16), (16, 16), placed, {0: np.zeros((1, 8, 8), np.uint8)})


@pytest.mark.parametrize(
    ("frame_size", "input_size", "overlap", "message"),
    [
        ((0, 5), (64, 64), 0.1, "frame 0x5: expected 1x1 or more"),
        ((5, 5), (64, 0), 0.1, "input 64x0: expected 1x1 or more"),
        ((5, 5), (64, 64), 1.0, "overlap 1.0: expected a share"),
        ((5, 5), (64, 64), -0.1, "overlap -0.1"),
        ((5, 5), (64, 64), float("nan"), "overlap nan"),
    ],
)
def test_sizes_that_cannot_be_tiled_are_refused(
    frame_size: Size, input_size: Size, overlap: float, message: str
):
    with pytest.raises(ValueError, match=message):
        tiles(frame_size, input_size, Fit.TILE, overlap)
