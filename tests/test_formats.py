"""What the formats of cameras become, against numpy; turns; and the fast kernels' bits."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import _native
from runtime.preprocess import UPRIGHT, PixelFormat, Rect, Tile, Turn, preprocess

Pixels = npt.NDArray[np.uint8]

BAYER8 = [PixelFormat.RGGB8, PixelFormat.GRBG8, PixelFormat.GBRG8, PixelFormat.BGGR8]
WORDS = {f: 10 for f in PixelFormat if f.name.endswith("10")} | {
    PixelFormat.Y12: 12,
    PixelFormat.Y16: 16,
}
PACKED = [f for f in PixelFormat if f.is_packed]

formats = st.sampled_from(PixelFormat)
channel_counts = st.sampled_from([1, 3])
turns = st.builds(Turn, st.integers(0, 3), st.booleans())


def random_frame(width: int, height: int, pixel_format: PixelFormat, seed: int = 0) -> Pixels:
    shape = pixel_format.shape(width, height)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def run(
    frame: Pixels, pixel_format: PixelFormat, tile: Tile, channels: int, turn: Turn = UPRIGHT
) -> Pixels:
    out = np.full((tile.target.height, tile.target.width, channels), 99, np.uint8)
    preprocess(frame, pixel_format, tile, out, turn=turn)
    return out


def whole(size: tuple[int, int], width: int, height: int) -> Tile:
    return Tile(Rect(0, 0, *size), Rect(0, 0, width, height))


def high_bits(frame: Pixels, pixel_format: PixelFormat) -> Pixels:
    """The 8-bit frame (H, W) that a deeper one counts as."""
    if pixel_format.is_packed:
        height, row = frame.shape
        return frame.reshape(height, row // 5, 5)[..., :4].reshape(height, -1)
    words = frame.view("<u2")[..., 0].astype(np.int64)
    return (words >> (WORDS[pixel_format] - 8)).clip(0, 255).astype(np.uint8)


def shallow(pixel_format: PixelFormat) -> PixelFormat:
    """The format of 8 bits with the same channels."""
    name = pixel_format.name.removesuffix("P").removesuffix("10")
    return PixelFormat.GREY if name.startswith("Y") else PixelFormat[name + "8"]


def same(a: Pixels, b: Pixels) -> bool:
    return np.array_equal(a, b)


@pytest.mark.parametrize("pixel_format", [*WORDS, *PACKED])
@pytest.mark.parametrize("channels", [1, 3])
def test_deeper_samples_count_by_their_high_bits(pixel_format: PixelFormat, channels: int):
    frame = random_frame(132, 46, pixel_format)
    tile = Tile(Rect(5, 3, 121, 39), Rect(0, 0, 37, 17))
    wanted = run(high_bits(frame, pixel_format), shallow(pixel_format), tile, channels)
    assert same(run(frame, pixel_format, tile, channels), wanted)


@given(st.integers(1, 90), st.integers(1, 40), channel_counts)
def test_rgb_is_bgr_backwards(width: int, height: int, channels: int):
    frame = random_frame(70, 30, PixelFormat.RGB)
    backwards = np.ascontiguousarray(frame[..., ::-1])
    tile = whole((70, 30), width, height)
    one = run(frame, PixelFormat.RGB, tile, channels)
    assert same(one, run(backwards, PixelFormat.BGR, tile, channels))


@given(st.integers(1, 90), st.integers(1, 40), channel_counts)
def test_uyvy_is_yuyv_with_its_bytes_swapped(width: int, height: int, channels: int):
    frame = random_frame(70, 30, PixelFormat.UYVY)
    swapped = np.ascontiguousarray(frame[..., ::-1])
    tile = whole((70, 30), width, height)
    one = run(frame, PixelFormat.UYVY, tile, channels)
    assert same(one, run(swapped, PixelFormat.YUYV, tile, channels))


@given(st.integers(1, 90), st.integers(1, 40), channel_counts)
def test_nv12_with_one_chroma_row_for_both_is_yuyv(width: int, height: int, channels: int):
    frame = random_frame(70, 32, PixelFormat.NV12)
    luma, chroma = frame[:32], frame[32:].repeat(2, axis=0)
    yuyv = np.stack([luma, chroma], axis=-1)
    tile = Tile(Rect(3, 5, 61, 23), Rect(0, 0, width, height))
    one = run(frame, PixelFormat.NV12, tile, channels)
    assert same(one, run(yuyv, PixelFormat.YUYV, tile, channels))


def test_nv12_has_the_colours_of_opencv():
    frame = random_frame(64, 48, PixelFormat.NV12)
    frame[:48] = frame[:48].clip(16)  # OpenCV takes a luma below black for black
    out = run(frame, PixelFormat.NV12, whole((64, 48), 64, 48), 3)
    wanted = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)
    assert abs(out.astype(int) - wanted).max() <= 2


def cells(frame: Pixels, pixel_format: PixelFormat) -> npt.NDArray[np.float64]:
    """R, the mean G and B of each cell, (H / 2, W / 2, 3)."""
    found: dict[str, list[Pixels]] = {"R": [], "G": [], "B": []}
    for place, letter in enumerate(pixel_format.name[:4]):
        found[letter].append(frame[place // 2 :: 2, place % 2 :: 2])
    return np.stack([np.mean(found[letter], axis=0) for letter in "RGB"], axis=-1)


@pytest.mark.parametrize("pixel_format", BAYER8)
def test_a_bayer_cell_has_its_red_mean_green_and_blue(pixel_format: PixelFormat):
    frame = random_frame(64, 48, pixel_format)
    out = run(frame, pixel_format, whole((64, 48), 32, 24), 3)
    assert abs(out - cells(frame, pixel_format)).max() <= 0.5


@pytest.mark.parametrize("pixel_format", BAYER8)
@given(st.integers(1, 70), st.integers(1, 50), st.integers(0, 9), st.integers(0, 9))
def test_bayer_is_resized_like_a_picture_of_its_cells(
    pixel_format: PixelFormat, width: int, height: int, x: int, y: int
):
    frame = random_frame(64, 48, pixel_format)
    pixels = cells(frame, pixel_format).repeat(2, axis=0).repeat(2, axis=1)
    rounded = np.ascontiguousarray(pixels.round().astype(np.uint8))
    tile = Tile(Rect(x, y, 51, 37), Rect(0, 0, width, height))
    one, other = run(frame, pixel_format, tile, 3), run(rounded, PixelFormat.RGB, tile, 3)
    assert abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("pixel_format", BAYER8)
def test_a_plain_colour_comes_out_of_bayer_as_it_is(pixel_format: PixelFormat):
    levels = {"R": 200, "G": 90, "B": 13}
    frame = np.empty((20, 24), np.uint8)
    for place, letter in enumerate(pixel_format.name[:4]):
        frame[place // 2 :: 2, place % 2 :: 2] = levels[letter]
    out = run(frame, pixel_format, Tile(Rect(1, 1, 21, 17), Rect(0, 0, 30, 7)), 3)
    assert (out == list(levels.values())).all()


@given(formats, channel_counts, turns, st.data())
def test_a_turned_frame_is_the_turned_picture(
    pixel_format: PixelFormat, channels: int, turn: Turn, data: st.DataObject
):
    size = 64, 48
    frame = random_frame(*size, pixel_format)
    width, height = data.draw(st.integers(1, 80)), data.draw(st.integers(1, 60))
    upright = run(frame, pixel_format, whole(size, width, height), channels)
    wanted = np.rot90(upright, -turn.quarters)
    if turn.mirrored:
        wanted = wanted[:, ::-1]
    tile = whole(turn.size(size), *turn.size((width, height)))
    assert same(run(frame, pixel_format, tile, channels, turn), wanted)


@given(turns, st.integers(0, 20), st.integers(0, 20), st.integers(1, 28), st.integers(1, 28))
def test_a_region_is_one_of_the_turned_frame(turn: Turn, x: int, y: int, width: int, height: int):
    frame = random_frame(64, 48, PixelFormat.GREY)
    seen = np.rot90(frame, -turn.quarters)
    if turn.mirrored:
        seen = seen[:, ::-1]
    tile = Tile(Rect(x, y, width, height), Rect(0, 0, width, height))
    out = run(frame, PixelFormat.GREY, tile, 1, turn)[..., 0]
    assert same(out, seen[y : y + height, x : x + width])


@given(formats, channel_counts, turns, st.data())
def test_fast_kernels_give_the_bits_of_plain_c(
    pixel_format: PixelFormat, channels: int, turn: Turn, data: st.DataObject
):
    width, height = 4 * data.draw(st.integers(1, 90)), 2 * data.draw(st.integers(1, 30))
    frame = random_frame(width, height, pixel_format, seed=width)
    if data.draw(st.booleans()):
        frame = np.where(frame < 128, np.uint8(0), np.uint8(255))
    seen = turn.size((width, height))
    sides = [data.draw(st.integers(1, side)) for side in seen]
    corner = [data.draw(st.integers(0, a - b)) for a, b in zip(seen, sides, strict=True)]
    out = np.zeros((data.draw(st.integers(3, 60)), data.draw(st.integers(3, 200)), channels), "u1")
    plain = out.copy()
    for into, is_plain in ((out, False), (plain, True)):
        _native.preprocess(
            frame,
            pixel_format.value,
            (*corner, *sides),
            into,
            (0, 0, *out.shape[1::-1]),
            0,
            (turn.quarters, turn.mirrored),
            is_plain,
        )
    assert same(out, plain)


@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_a_format_knows_the_size_of_its_frames(pixel_format: PixelFormat):
    assert pixel_format.size(pixel_format.shape(640, 360)) == (640, 360)
