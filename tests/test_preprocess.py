"""Preprocessing against numpy and OpenCV, and what it refuses."""

import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import _native
from runtime.preprocess import PixelFormat, Rect, Tile, preprocess, preprocess_digest

Pixels = npt.NDArray[np.uint8]
Planes = npt.NDArray[np.float64]

sides = st.integers(1, 90)


def run(frame: Pixels, pixel_format: PixelFormat, tile: Tile, channels: int) -> Pixels:
    """The tile alone, without room around its target."""
    target = Rect(0, 0, tile.target.width, tile.target.height)
    out = np.full((target.height, target.width, channels), 99, np.uint8)
    preprocess(frame, pixel_format, Tile(tile.region, target), out)
    return out


def whole(frame: Pixels, width: int, height: int) -> Tile:
    return Tile(Rect(0, 0, frame.shape[1], frame.shape[0]), Rect(0, 0, width, height))


def smooth(width: int, height: int, channels: int, seed: int = 0) -> Pixels:
    """A surface with contrast, but without noise from pixel to pixel."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, channels), np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return large.reshape((height, width, channels))


def noisy(width: int, height: int, channels: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)


def random_frame(width: int, height: int, pixel_format: PixelFormat, seed: int = 1) -> Pixels:
    shape = pixel_format.shape(width, height)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def axis_weights(source: int, target: int) -> Planes:
    """(target, source): shares of an area where it shrinks, else linear between centres."""
    if source >= target:
        border = np.arange(target + 1) * source / target
        begin, end = border[:-1, None], border[1:, None]
        pixel = np.arange(source)[None]
        covered = np.minimum(end, pixel + 1) - np.maximum(begin, pixel)
        return np.maximum(covered, 0) * target / source
    centre = (np.arange(target) + 0.5) * source / target - 0.5
    centre = centre.clip(0, source - 1)[:, None]
    return np.maximum(0, 1 - abs(centre - np.arange(source)[None]))


def resized(planes: npt.NDArray[Any], width: int, height: int) -> Planes:
    rows = axis_weights(planes.shape[0], height)
    columns = axis_weights(planes.shape[1], width)
    return np.einsum("ik,jm,kmc->ijc", rows, columns, planes.astype(np.float64), optimize=True)


def yuv_planes(frame: Pixels) -> Pixels:
    """(H, W, 3): luma, and the chroma of its pair for each column."""
    u, v = (frame[:, first::2, 1].repeat(2, axis=1) for first in (0, 1))
    return np.stack([frame[..., 0], u, v], axis=-1)


def rgb_from_yuv(yuv: Pixels) -> Pixels:
    """BT.601, limited range, in the integers of runtime/native/preprocess.h."""
    y, u, v = (yuv[..., c].astype(np.int32) for c in range(3))
    c, u, v = 298 * (y - 16) + 128, u - 128, v - 128
    levels = np.stack([c + 409 * v, c - 100 * u - 208 * v, c + 516 * u], axis=-1) >> 8
    return levels.clip(0, 255).astype(np.uint8)


def distance(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    assert a.shape == b.shape
    return float(abs(a.astype(np.float64) - b.astype(np.float64)).max())


@given(sides, sides, sides, sides)
def test_grey_is_the_exact_average_to_one_level(w: int, h: int, width: int, height: int):
    frame = smooth(w, h, 1)
    out = run(frame[..., 0], PixelFormat.GREY, whole(frame, width, height), 1)
    assert distance(out, resized(frame, width, height).round()) <= 1


@given(sides, sides, sides, sides)
def test_rgb_from_bgr_is_the_exact_average_to_one_level(w: int, h: int, width: int, height: int):
    frame = smooth(w, h, 3)
    out = run(frame, PixelFormat.BGR, whole(frame, width, height), 3)
    assert distance(out, resized(frame, width, height).round()[..., ::-1]) <= 1


@given(st.integers(1, 60), sides, sides, sides)
def test_rgb_from_yuyv_is_the_colour_of_the_exact_average(w: int, h: int, width: int, height: int):
    frame = smooth(2 * w, h, 2)
    out = run(frame, PixelFormat.YUYV, whole(frame, width, height), 3)
    average = resized(yuv_planes(frame), width, height).round().astype(np.uint8)
    one_level_each = (298 + 516) / 256  # of luma and of the stronger chroma
    assert distance(out, rgb_from_yuv(average)) <= one_level_each + 1


@pytest.mark.parametrize("shrink", [2, 3, 4])
def test_noise_shrinks_as_in_opencv(shrink: int):
    frame = noisy(shrink * 40, shrink * 30, 3)
    wanted = cv2.resize(frame, (40, 30), interpolation=cv2.INTER_AREA)
    assert distance(run(frame, PixelFormat.BGR, whole(frame, 40, 30), 3), wanted[..., ::-1]) <= 1


@pytest.mark.parametrize("shrink", [5, 7, 16, 64])
def test_a_surface_shrinks_as_in_opencv(shrink: int):
    frame = smooth(shrink * 9, shrink * 7, 3)
    wanted = cv2.resize(frame, (9, 7), interpolation=cv2.INTER_AREA)
    assert distance(run(frame, PixelFormat.BGR, whole(frame, 9, 7), 3), wanted[..., ::-1]) <= 1


def test_rounded_weights_lose_nothing_of_a_ramp():
    ramp = np.linspace(0, 255, 1100).round().astype(np.uint8)[:, None].repeat(4, axis=1)
    out = run(ramp, PixelFormat.GREY, whole(ramp, 4, 11), 1)
    assert distance(out, resized(ramp[..., None], 4, 11)) <= 1


@pytest.mark.parametrize(
    ("pixel_format", "channels", "code"),
    [
        (PixelFormat.BGR, 1, cv2.COLOR_BGR2GRAY),
        (PixelFormat.BGR, 3, cv2.COLOR_BGR2RGB),
        (PixelFormat.GREY, 3, cv2.COLOR_GRAY2RGB),
        (PixelFormat.YUYV, 3, cv2.COLOR_YUV2RGB_YUYV),
    ],
)
def test_colours_are_those_of_opencv(pixel_format: PixelFormat, channels: int, code: int):
    frame = random_frame(64, 48, pixel_format)
    if pixel_format is PixelFormat.YUYV:
        frame[..., 0] = frame[..., 0].clip(16)  # OpenCV takes a luma below black for black
    wanted = cv2.cvtColor(frame, code).reshape((48, 64, channels))
    assert distance(run(frame, pixel_format, whole(frame, 64, 48), channels), wanted) <= 2


def test_every_colour_has_its_grey():
    b, g = np.meshgrid(np.arange(256), np.arange(256))
    for r in range(256):
        frame = np.stack([b, g, np.full_like(b, r)], axis=-1).astype(np.uint8)
        wanted = (4899 * r + 9617 * g + 1868 * b + 8192) >> 14
        out = run(frame, PixelFormat.BGR, whole(frame, 256, 256), 1)
        assert (out[..., 0] == wanted).all()


def test_every_yuv_has_its_colour():
    u, v = np.meshgrid(np.arange(256), np.arange(256))
    for y in range(0, 256, 2):
        frame = np.stack([np.full_like(u, y), u, np.full_like(u, y + 1), v], axis=-1)
        frame = frame.astype(np.uint8).reshape((256, 512, 2))
        out = run(frame, PixelFormat.YUYV, whole(frame, 512, 256), 3)
        assert (out == rgb_from_yuv(yuv_planes(frame))).all()


def test_grey_from_yuyv_is_every_channel_of_a_neutral_pixel():
    frame = np.full((1, 256, 2), 128, np.uint8)
    frame[0, :, 0] = np.arange(256)
    grey, rgb = (run(frame, PixelFormat.YUYV, whole(frame, 256, 1), c) for c in (1, 3))
    assert (rgb == grey).all()
    assert grey[0, [16, 235], 0].tolist() == [0, 255]


def test_a_region_of_its_targets_size_keeps_its_bits():
    grey, bgr = noisy(50, 40, 1)[..., 0], noisy(50, 40, 3)
    tile = Tile(Rect(7, 5, 31, 29), Rect(0, 0, 31, 29))
    assert (run(grey, PixelFormat.GREY, tile, 1)[..., 0] == grey[5:34, 7:38]).all()
    assert (run(bgr, PixelFormat.BGR, tile, 3) == bgr[5:34, 7:38, ::-1]).all()


@given(x=st.integers(0, 30), width=st.integers(1, 9))
def test_yuyv_takes_each_columns_own_chroma_at_odd_offsets(x: int, width: int):
    frame = noisy(40, 3, 2)
    out = run(frame, PixelFormat.YUYV, Tile(Rect(x, 0, width, 3), Rect(0, 0, width, 3)), 3)
    assert (out == rgb_from_yuv(yuv_planes(frame)[:, x : x + width])).all()


@pytest.mark.parametrize("pixel_format", PixelFormat)
@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1), slice(None, None, 2)])
def test_rows_may_have_gaps_or_run_upwards(pixel_format: PixelFormat, rows: slice):
    frame = random_frame(72, 48, pixel_format)[rows, :60]
    tile = Tile(Rect(1, 2, 41, 13), Rect(0, 0, 20, 20))
    out = run(frame, pixel_format, tile, 3)
    assert (out == run(np.ascontiguousarray(frame), pixel_format, tile, 3)).all()


def test_what_lies_outside_the_target_is_filled():
    out = np.zeros((20, 30, 3), np.uint8)
    target = Rect(4, 6, 10, 8)
    white = np.full((16, 16), 255, np.uint8)
    preprocess(white, PixelFormat.GREY, Tile(Rect(0, 0, 16, 16), target), out, fill=7)
    wanted = np.full_like(out, 7)
    wanted[6:14, 4:14] = 255
    assert (out == wanted).all()


def test_a_channel_axis_of_length_one_may_have_any_stride():
    out = np.zeros((8, 8, 3), np.uint8)[:, :, :1].copy()[:, :, ::-1]
    frame = noisy(8, 8, 1)[..., 0]
    preprocess(frame, PixelFormat.GREY, whole(frame, 8, 8), out)
    assert (out[..., 0] == frame).all()


@pytest.mark.parametrize(
    ("frame", "pixel_format", "message"),
    [
        (
            np.zeros((8, 8, 1), np.uint8),
            PixelFormat.GREY,
            r"\(height, width\) in GREY.*\(8, 8, 1\)",
        ),
        (np.zeros((8, 8), np.uint8), PixelFormat.BGR, r"\(height, width, 3\) in BGR.*\(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), PixelFormat.BGR, r"in BGR.*got shape \(8, 8, 4\)"),
        (np.zeros((8, 8, 3), np.uint8), PixelFormat.YUYV, r"in YUYV.*got shape \(8, 8, 3\)"),
        (np.zeros((8, 8), np.int8), PixelFormat.GREY, "expected uint8.*format 'b'"),
        (np.zeros((8, 8), np.uint16), PixelFormat.GREY, "expected uint8.*format 'H'"),
        (np.zeros((8, 8), np.bool_), PixelFormat.GREY, r"expected uint8.*format '\?'"),
        (np.zeros((8, 16), np.uint8)[:, ::2], PixelFormat.GREY, "without gaps in a row.*with gaps"),
        (np.zeros((8, 8, 6), np.uint8)[..., ::2], PixelFormat.BGR, "without gaps in a row"),
        (np.zeros((8, 8, 3), np.uint8)[:, ::-1], PixelFormat.BGR, "without gaps in a row"),
        (np.zeros((0, 8), np.uint8), PixelFormat.GREY, "8x0.*expected a frame of 1"),
        (np.zeros((8, 9, 2), np.uint8), PixelFormat.YUYV, "9x8.*even number of columns"),
        (np.zeros((8, 9, 2), np.uint8), PixelFormat.UYVY, "9x8.*even number of columns"),
        (np.zeros((13, 8), np.uint8), PixelFormat.NV12, r"height \* 3/2.*NV12.*\(13, 8\)"),
        (np.zeros((9, 9), np.uint8), PixelFormat.NV12, "9x6.*of both in NV12"),
        (np.zeros((8, 8), np.uint8), PixelFormat.Y12, r"\(height, width, 2\) in Y12"),
        (np.zeros((8, 12), np.uint8), PixelFormat.Y10P, r"width \* 5/4.*Y10P.*\(8, 12\)"),
        (np.zeros((7, 8), np.uint8), PixelFormat.RGGB8, "8x7.*of both in NV12 and Bayer"),
    ],
)
def test_a_frame_that_does_not_fit_is_named(frame: Pixels, pixel_format: PixelFormat, message: str):
    tile = Tile(Rect(0, 0, 4, 4), Rect(0, 0, 4, 4))
    with pytest.raises(ValueError, match=message):
        preprocess(frame, pixel_format, tile, np.zeros((4, 4, 3), np.uint8))


def read_only(array: Pixels) -> Pixels:
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"out: expected writable uint8.*got shape \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "out: expected writable uint8.*format 'f'"),
        (np.zeros((4, 8, 3), np.uint8)[:, :4], "out: .*got gaps between the rows"),
        (read_only(np.zeros((4, 4, 3), np.uint8)), "out: .*got read-only shape"),
        (np.zeros((4, 4, 2), np.uint8), "with 2 channels.*1 .grey. or 3 .RGB. channels"),
        (np.zeros((4, 4, 0), np.uint8), "with 0 channels"),
        (np.zeros((4, 0, 3), np.uint8), "out 0x4.*1 to 1048576"),
    ],
)
def test_an_out_that_does_not_fit_is_named(out: Pixels, message: str):
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match=message):
        preprocess(frame, PixelFormat.GREY, whole(frame, 4, 4), out)


OUTSIDE = [
    Rect(-1, 0, 4, 4),
    Rect(0, -1, 4, 4),
    Rect(0, 0, 0, 4),
    Rect(0, 0, 4, -4),
    Rect(5, 0, 4, 4),
    Rect(0, 5, 4, 4),
    Rect(2**31 - 1, 0, 2**31 - 1, 1),
    Rect(-(2**31), -(2**31), 2**31 - 1, 2**31 - 1),
]


@pytest.mark.parametrize("outside", OUTSIDE)
def test_rectangles_must_lie_inside(outside: Rect):
    frame, out = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 1), np.uint8)
    inside = Rect(0, 0, 8, 8)
    with pytest.raises(ValueError, match=r"frame 8x8, region .* expected a region .* inside"):
        preprocess(frame, PixelFormat.GREY, Tile(outside, inside), out)
    with pytest.raises(ValueError, match=r"target .* expected a target .* inside out; clamp it"):
        preprocess(frame, PixelFormat.GREY, Tile(inside, outside), out)


@pytest.mark.parametrize("size", [2**31, -(2**31) - 1, 2**63, 10**400])
def test_numbers_beyond_32_bits_are_refused(size: int):
    frame, out = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 1), np.uint8)
    with pytest.raises(ValueError, match="expected 32 bits"):
        preprocess(frame, PixelFormat.GREY, Tile(Rect(0, 0, size, 8), Rect(0, 0, 8, 8)), out)


def test_a_shrink_that_would_lose_pixels_is_refused():
    frame, out = np.zeros((129, 4), np.uint8), np.zeros((4, 4, 1), np.uint8)
    preprocess(frame[:128], PixelFormat.GREY, Tile(Rect(0, 0, 4, 128), Rect(0, 0, 4, 1)), out)
    with pytest.raises(ValueError, match=r"at most 128 times .* cut the frame into tiles"):
        preprocess(frame, PixelFormat.GREY, Tile(Rect(0, 0, 4, 129), Rect(0, 0, 4, 1)), out)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"format": 22}, ValueError, "format 22: expected one of the formats, 0 .GREY. to 21"),
        ({"format": -1}, ValueError, "format -1"),
        ({"format": "BGR"}, TypeError, "int"),
        ({"fill": 256}, ValueError, "fill 256: expected 0 to 255"),
        ({"fill": -1}, ValueError, "fill -1"),
        ({"region": (0, 0, 4)}, ValueError, "expected a tuple .* got .0, 0, 4."),
        ({"target": [0, 0, 4, 4]}, ValueError, "expected a tuple"),
        ({"target": (0, 0, 4, 4.0)}, TypeError, "float"),
        ({"frame": None}, TypeError, "bytes-like"),
        ({"out": bytes(16)}, ValueError, "out: .*got read-only shape"),
        ({"turn": (4, False)}, ValueError, "4 quarter turns, .*expected 0 to 3 quarter turns"),
        ({"turn": (-1, False)}, ValueError, "-1 quarter turns"),
        ({"turn": (1,)}, TypeError, "sequence of length 2"),
    ],
)
def test_the_border_refuses_wrong_values(
    changed: dict[str, Any], error: type[Exception], message: str
):
    rect = (0, 0, 4, 4)
    values = {
        "frame": np.zeros((4, 4), np.uint8),
        "format": _native.GREY,
        "region": rect,
        "out": np.zeros((4, 4, 1), np.uint8),
        "target": rect,
        "fill": 0,
    }
    _native.preprocess(**values)
    with pytest.raises(error, match=message):
        _native.preprocess(**(values | changed))


@pytest.mark.parametrize("region", [(0, 0, 4, 4), (0, 0, 5, 4)])
def test_buffers_are_given_back(region: tuple[int, int, int, int]):
    frame, out = bytearray(16), bytearray(16)

    def run_on_views() -> None:
        from_view = memoryview(frame).cast("B", (4, 4))
        into_view = memoryview(out).cast("B", (4, 4, 1))
        _native.preprocess(from_view, _native.GREY, region, into_view, (0, 0, 4, 4), 0)

    if region[2] > 4:
        with pytest.raises(ValueError, match="region"):
            run_on_views()
    else:
        run_on_views()
    frame.append(0)  # BufferError while a view lives
    out.append(0)


numbers = st.one_of(st.integers(-3, 40), st.integers(-(2**33), 2**33))
rects = st.tuples(numbers, numbers, numbers, numbers)


@given(st.sampled_from(PixelFormat), rects, rects, st.integers(-1, 4))
def test_any_rectangle_gives_an_answer_or_an_error(
    pixel_format: PixelFormat,
    region: tuple[int, int, int, int],
    target: tuple[int, int, int, int],
    channels: int,
):
    frame = random_frame(32, 20, pixel_format)
    out = np.zeros((24, 36, max(0, channels)), np.uint8)
    try:
        preprocess(frame, pixel_format, Tile(Rect(*region), Rect(*target)), out)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017, either way is right


def test_the_digest_tells_every_bit(monkeypatch: pytest.MonkeyPatch):
    def off_by_one(plain: Callable[..., None]) -> Callable[..., None]:
        def changed(*arguments: Any) -> None:
            plain(*arguments)
            arguments[3][10, 10] ^= 1

        return changed

    before = preprocess_digest()
    assert re.fullmatch("[0-9a-f]{64}", before)
    monkeypatch.setattr(_native, "preprocess", off_by_one(_native.preprocess))
    assert preprocess_digest() == before
    assert preprocess_digest.__wrapped__() != before


def test_the_digest_is_the_one_that_models_carry():
    wanted = "4f63e8b7d93cff152142f1b5172af50034bd117e85b3bef70f77b6e2f8b4875d"
    assert preprocess_digest() == wanted, "models and bundles made before cannot be used any more"
