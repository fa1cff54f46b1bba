"""From a frame to its verdict: the gate decides, and the mask is drawn where it opened."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco
from scipy import ndimage

from runtime.frame import Frame
from runtime.inspection import Inspection, Inspector, foreground
from runtime.overlay import overlay, picture_of
from runtime.preprocess import PixelFormat, Rect, Turn
from runtime.spec import InputSpec, Limits
from runtime.tiling import Fit, tiles
from runtime.verdict import Answer
from train.dataset import read_dataset
from train.evaluation import outcome, predictions

TILED = InputSpec(64, 64, 1, Fit.TILE)
SIX = [0.1, 0.9, 0.1, 0.2, 0.8, 0.6]


class Scripted:
    """An engine whose scores are given, and whose masks are full; it notes what it is asked."""

    name = "scripted"
    tiles = 16

    def __init__(self, scores):
        self.scores = np.array(scores, np.float32)[:, None]
        self.drawn = []

    def gate(self, images):
        """The scores that were given."""
        assert len(images) == len(self.scores)
        return self.scores, None

    def mask(self, skips, tile):
        """A mask that is full."""
        assert skips is None
        self.drawn.append(tile)
        return np.full((1, 64, 64), 255, np.uint8)


def frame_of(width, height):
    return Frame(np.zeros((height, width), np.uint8), PixelFormat.GREY, "part", 0, 0)


def test_the_mask_is_drawn_for_the_open_tiles_only():
    placed = tiles((176, 120), (64, 64), Fit.TILE)
    assert len(placed) == 6  # three in a row, overlapping
    opened = {1, 5}
    engine = Scripted([0.9 if tile in opened else 0.1 for tile in range(6)])
    limits = Limits(threshold=0.5)
    inspection = Inspector(engine, TILED, limits, ["defect"]).inspect(frame_of(176, 120))
    expected = np.zeros((120, 176), bool)
    for tile in opened:
        r = placed[tile].region
        expected[r.y : r.y + r.height, r.x : r.x + r.width] = True
    assert engine.drawn == [1, 5]
    assert inspection.verdict.verdict is Answer.NG
    assert inspection.verdict.score == pytest.approx(0.9)
    found = foreground(inspection.canvas, (176, 120), limits)[0]
    assert np.array_equal(found, expected)
    assert sum(d.area_px for d in inspection.verdict.defects) == pytest.approx(expected.sum())


@pytest.mark.parametrize("most", [1, 4, 6])
def test_more_tiles_than_the_engine_takes_come_after_each_other(most):
    """The masks of some are drawn before the next are scored, which overwrites their skips."""

    class Small(Scripted):
        tiles = most
        first = 0

        def gate(self, images):
            scores = self.scores[self.first :][: len(images)]
            self.first += len(images)
            self.asked.append(len(images))
            return scores, self.first

        def mask(self, skips, tile):
            assert skips == self.first
            return super().mask(None, tile)

    whole, small = Scripted(SIX), Small(SIX)
    small.asked = []
    expected, found = (
        Inspector(engine, TILED, Limits(0.5), ["defect"]).inspect(frame_of(176, 120))
        for engine in (whole, small)
    )
    assert small.asked == [most] * (6 // most) + [6 % most] * (6 % most > 0)
    assert np.array_equal(found.canvas.masks, expected.canvas.masks)
    assert (found.verdict.score, found.verdict.defects) == (
        expected.verdict.score,
        expected.verdict.defects,
    )
    latency = found.verdict.latency_ms
    stages = ("preprocess", "gate", "mask", "blobs")
    assert latency["total"] == pytest.approx(sum(latency[stage] for stage in stages), abs=1e-3)


def test_a_shut_gate_draws_nothing():
    engine = Scripted([0.1] * 6)
    inspection = Inspector(engine, TILED, Limits(0.5), ["defect"]).inspect(frame_of(176, 120))
    assert inspection.verdict.verdict is Answer.OK
    assert inspection.canvas is None
    assert engine.drawn == []


@pytest.mark.parametrize(
    ("score", "answer"),
    [(0.49, Answer.OK), (0.5, Answer.REVIEW), (0.74, Answer.REVIEW), (0.75, Answer.NG)],
)
def test_between_two_thresholds_a_person_decides_and_sees_the_mask(score, answer):
    limits = Limits(0.5, review_below=0.75)
    inspection = Inspector(Scripted([score]), TILED, limits, ["defect"]).inspect(frame_of(64, 64))
    assert inspection.verdict.verdict is answer
    assert (inspection.canvas is None) == (answer is Answer.OK)
    assert bool(inspection.verdict.defects) == (answer is not Answer.OK)


def test_an_empty_mask_under_an_open_gate_is_still_ng():
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: np.zeros((1, 64, 64), np.uint8)
    inspection = Inspector(engine, TILED, Limits(0.5), ["defect"]).inspect(frame_of(64, 64))
    assert inspection.verdict.verdict is Answer.NG
    assert inspection.verdict.defects == ()


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_a_threshold_between_two_floats_opens_all_gates_alike(side, visible_set):
    """A score is float32, the threshold is not: rounded, it would open one gate and not the other.

    `side` puts the threshold above, at and below the score.
    """
    score = float(np.float32(0.3))
    limits = Limits(threshold=float(np.nextafter(score, 1.0 - side)) if side else score)
    engine = Scripted([score])
    inspector = Inspector(engine, InputSpec(64, 64, 1), limits, ["defect"])
    verdict = inspector.inspect(frame_of(64, 64)).verdict
    (sample,) = read_dataset(visible_set).split("test")[:1]
    (prediction,) = predictions(inspector, [sample], InputSpec(64, 64, 1))
    reached = limits.threshold <= score
    assert (verdict.verdict is Answer.NG) == reached
    assert outcome(prediction, limits).opened == reached
    assert reached == (side >= 0)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_a_blob_that_interpolation_would_swallow_is_drawn_whole(threshold):
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 4, 4] = math.ceil(255 * threshold)  # of one pixel, just strong enough
    mask[0, 10:20, 10:20] = 255
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: mask
    limits = Limits(0.5, threshold)
    spec = InputSpec(64, 64, 1)
    inspection = Inspector(engine, spec, limits, ["defect"]).inspect(frame_of(128, 128))
    found = foreground(inspection.canvas, (128, 128), limits)[0]
    assert len(inspection.verdict.defects) == 2
    assert found[8:10, 8:10].all()
    assert found[20:40, 20:40].sum() > 380
    assert ndimage.label(found)[1] == 2


def test_borders_lie_between_the_pixels_of_the_mask():
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 8:24, 8:24] = 255
    mask[0, 8:24, 24] = 127  # half covered
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: mask
    limits, spec = Limits(0.5), InputSpec(64, 64, 1)
    inspection = Inspector(engine, spec, limits, ["defect"]).inspect(frame_of(128, 128))
    found = foreground(inspection.canvas, (128, 128), limits)[0]
    assert found[32].nonzero()[0].tolist() == list(range(16, 49))


def test_a_blob_is_drawn_in_a_frame_smaller_than_the_mask():
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 10, 10] = 255
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: mask
    limits, spec = Limits(0.5), InputSpec(64, 64, 1)
    inspection = Inspector(engine, spec, limits, ["defect"]).inspect(frame_of(16, 16))
    assert len(inspection.verdict.defects) == 1
    found = foreground(inspection.canvas, (16, 16), limits)[0]
    assert found.nonzero() == ([2], [2])


def speckled(spots):
    """An engine that draws `spots` single pixels, of which one is joined by a second."""
    mask = np.zeros((1, 64, 64), np.uint8)
    rows, columns = np.divmod(np.arange(spots), 32)
    mask[0, 2 * rows, 2 * columns] = 255
    mask[0, 0, 1] = 255
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: mask
    return engine


def test_the_largest_defects_are_listed_and_the_others_counted():
    inspector = Inspector(speckled(200), InputSpec(64, 64, 1), Limits(0.5), ["defect"])
    record = inspector.inspect(frame_of(64, 64)).verdict.record()
    assert len(record["defects"]) == 100
    assert record["defects"][0]["area_px"] == 3.0  # two pixels, and the one that touches them
    assert record["defects"][0]["centroid"] == [1.5, 0.5]
    assert record["others"] == 99
    assert "masks" not in record


def test_the_masks_are_in_the_record_where_asked_for():
    engine = speckled(1)
    inspector = Inspector(engine, InputSpec(64, 64, 1), Limits(0.5), ["pit"], rle=True)
    record = inspector.inspect(frame_of(64, 64)).verdict.record()
    mask = np.zeros((64, 64), np.uint8)
    mask[0, :2] = 1
    counts = coco.encode(np.asfortranarray(mask))["counts"].decode()
    assert record["masks"] == [{"class": "pit", "size": [64, 64], "counts": counts}]
    assert "others" not in record


@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_a_turned_frame_is_judged_and_shown_upright(pixel_format):
    pixels = np.random.default_rng(0).integers(0, 256, pixel_format.shape(64, 48), np.uint8)
    turn = Turn(1, mirrored=True)
    frame = Frame(pixels, pixel_format, "part", 0, 0, turn=turn)
    assert frame.size == (48, 64)
    engine = Scripted([0.9])
    spec = InputSpec(64, 64, 3, Fit.LETTERBOX)
    inspector = Inspector(engine, spec, Limits(0.5), ["defect"])
    _, batch = inspector.preprocess(frame)
    assert not batch[0, :, :8].any()
    picture = overlay(frame, Inspection(inspector.inspect(frame).verdict), Limits(0.5))
    caption = picture.shape[0] - 64
    inside = picture[caption + 4 : -4, 4:-4, ::-1]  # no box is drawn there
    assert np.array_equal(inside, batch[0, 4:60, 12:52])


@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_of_a_cropped_frame_that_part_alone_is_judged_and_shown(pixel_format):
    pixels = np.random.default_rng(0).integers(0, 256, pixel_format.shape(64, 48), np.uint8)
    whole = Frame(pixels, pixel_format, "part", 0, 0, turn=Turn(3))
    cropped = replace(whole, crop=Rect(5, 9, 32, 48))
    assert cropped.size == (32, 48)
    picture = picture_of(cropped)
    assert np.array_equal(picture, picture_of(whole)[9:57, 5:37])
    spec = InputSpec(32, 32, 3, Fit.TILE)
    engine = Scripted([0.1, 0.1])
    placed, batch = Inspector(engine, spec, Limits(0.5), ["defect"]).preprocess(cropped)
    assert [tile.region for tile in placed] == [Rect(0, 0, 32, 32), Rect(0, 16, 32, 32)]
    assert np.array_equal(batch, [picture[:32, :, ::-1], picture[16:, :, ::-1]])


@pytest.mark.parametrize("names", [["defect"], ["pit", "scratch"]])
def test_of_several_classes_the_picture_says_which(names):
    masks = np.zeros((len(names), 64, 64), np.uint8)
    masks[-1, 40:48, 10:20] = 255
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: masks
    inspector = Inspector(engine, InputSpec(64, 64, 1), Limits(0.5), names)
    frame = frame_of(64, 64)
    picture = overlay(frame, inspector.inspect(frame), Limits(0.5))
    above = picture[picture.shape[0] - 64 :][20:36]
    assert above.any() == (len(names) > 1)


def test_the_name_of_a_defect_as_high_as_the_picture_is_in_it():
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[1, :, 61:] = 255
    engine = Scripted([0.9])
    engine.mask = lambda _skips, _tile: masks
    inspector = Inspector(engine, InputSpec(64, 64, 1), Limits(0.5), ["pit", "scratch"])
    frame = frame_of(64, 64)
    picture = overlay(frame, inspector.inspect(frame), Limits(0.5))
    assert picture[-20:, :50].any()
