"""Calibration: which images are chosen, what ranges they give, and for what the files are good."""

import hashlib
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from calibration.calibrating import (
    SCALES_FILE,
    SET_FILE,
    SHEET_FILE,
    calibrate,
    calibration_tiles,
    read_calibration,
    write_calibration,
)
from calibration.ranges import activation_ranges
from calibration.selection import choose, most_images, record_of
from calibration.settings import CalibrationSettings, RangeMethod
from runtime.errors import CalibrationError
from runtime.images import read_image, write_png
from runtime.inspection import Inspector
from runtime.record import write_record
from runtime.sources import frame_of_image
from runtime.spec import InputSpec, Limits
from runtime.tiling import Fit
from train.dataset import read_dataset
from train.drawing import MaskFile
from train.sample import Sample

SPEC = InputSpec(32, 32, 1)
SIDES, DEPTHS = (2, 6, 12), (10, 40, 90)


def draw(folder, name, *, kind="pit", group="", side=4, depth=30):
    """A sample of 40x40 with a dark square; a good one has none."""
    image, mask = np.full((40, 40), 100, np.uint8), np.zeros((40, 40), np.uint8)
    if kind != "good":
        image[10 : 10 + side, 10 : 10 + side] -= np.uint8(depth)
        mask[10 : 10 + side, 10 : 10 + side] = 255
    write_png(folder / f"{name}.png", image)
    write_png(folder / f"{name}-mask.png", mask)
    drawing = MaskFile(folder / f"{name}-mask.png", 1)
    return Sample(
        name, folder / f"{name}.png", drawing, kind != "good", kind, "train", group or name
    )


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two kinds, three sizes and three contrasts, twice each; ten good ones."""
    folder = tmp_path_factory.mktemp("samples")
    defective = [
        draw(folder, f"{kind}-{side}-{depth}-{copy}", kind=kind, side=side, depth=depth)
        for kind in ("crack", "pit")
        for side in SIDES
        for depth in DEPTHS
        for copy in "ab"
    ]
    return [*defective, *(draw(folder, f"good-{n}", kind="good") for n in range(10))]


def embeddings_of(samples, seed=0):
    return np.random.default_rng(seed).normal(size=(len(samples), 4))


def chosen(samples, n, defect_share, seed=0):
    return choose(samples, embeddings_of(samples, seed), n, defect_share)


@given(st.integers(1, 10), st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]), st.integers(0, 9))
def test_the_defect_share_is_honoured_and_no_image_is_chosen_twice(samples, n, share, seed):
    names = [sample.name for sample, _, _ in chosen(samples, n, share, seed)]
    defective = sum(not name.startswith("good") for name in names)
    assert len(names) == len(set(names)) == n
    assert abs(defective - share * n) <= 0.5


def test_strata_are_kind_size_and_contrast_in_thirds(samples):
    levels = dict(zip(SIDES, ("low", "middle", "high"), strict=True))
    contrasts = dict(zip(DEPTHS, ("low", "middle", "high"), strict=True))
    for sample, stratum, _ in chosen(samples, 36, 1):
        kind, side, depth, _ = sample.name.split("-")
        size, contrast = levels[int(side)], contrasts[int(depth)]
        assert stratum == f"{kind}, size {size}, contrast {contrast}"
    assert {stratum for _, stratum, _ in chosen(samples, 10, 0)} == {"good"}


@pytest.mark.parametrize(("n", "each"), [(18, {1}), (25, {1, 2}), (36, {2})])
def test_every_stratum_gets_a_turn_before_one_gets_two(samples, n, each):
    turns = Counter(stratum for _, stratum, _ in chosen(samples, n, 1))
    assert len(turns) == 18
    assert set(turns.values()) == each


def test_kinds_take_turns_however_many_strata_they_have(samples):
    stains = [replace(s, kind="stain") for s in samples[:2]]
    picks = chosen([*samples[2:], *stains], 6, 1)
    assert Counter(sample.kind for sample, _, _ in picks) == {"crack": 2, "pit": 2, "stain": 2}


def test_a_defect_that_is_not_drawn_has_no_size_and_moves_no_third(samples):
    undrawn = [replace(s, name=f"{s.name}-unseen", drawing=None) for s in samples[:2]]
    strata = {s.name: stratum for s, stratum, _ in chosen([*undrawn, *samples], 38, 1)}
    assert [strata.pop(sample.name) for sample in undrawn] == ["crack, not drawn"] * 2
    assert strata == {s.name: stratum for s, stratum, _ in chosen(samples, 36, 1)}


def test_a_group_gives_a_second_image_only_after_all_others(tmp_path):
    samples = [draw(tmp_path, f"{part}{n}", group=part) for part in "abc" for n in range(2)]
    seconds_are_far = np.array([[0.0], [100.0], [1.0], [99.0], [2.0], [98.0]])
    picks = choose(samples, seconds_are_far, 6, 1)
    assert {sample.group for sample, _, _ in picks[:3]} == {"a", "b", "c"}
    assert all(why.startswith("first of its group") for _, _, why in picks[:3])
    assert all(why.startswith("its group has given one before") for _, _, why in picks[3:])


def test_a_good_image_of_a_part_that_showed_its_defect_comes_last(tmp_path):
    bad = draw(tmp_path, "bad", group="a")
    good = [draw(tmp_path, name, kind="good", group=name[0]) for name in ("a1", "b1", "c1")]
    it_is_far = np.array([[0.0], [100.0], [1.0], [2.0]])
    picks = choose([bad, *good], it_is_far, 3, 1 / 3)
    assert {sample.name for sample, _, _ in picks} == {"bad", "b1", "c1"}


def test_within_a_stratum_the_farthest_from_all_chosen_comes_next(tmp_path):
    samples = [draw(tmp_path, name) for name in "abcde"]
    along_a_line = np.array([[0.0], [1.0], [10.0], [4.0], [9.0]])
    picks = choose(samples, along_a_line, 5, 1)
    assert [sample.name for sample, _, _ in picks] == ["a", "c", "d", "b", "e"]
    reasons = [why for _, _, why in picks]
    assert reasons[0] == "first of its group"
    assert [why.partition(", ")[2] for why in reasons[1:]] == [
        f"{distance} from the nearest chosen" for distance in ("10.00", "4.00", "1.00", "1.00")
    ]


def test_the_same_samples_give_the_same_choice(samples):
    assert chosen(samples, 20, 0.7) == chosen(samples, 20, 0.7)
    assert chosen(samples, 20, 0.7, seed=1) != chosen(samples, 20, 0.7)


def test_the_order_of_the_samples_does_not_matter_even_where_all_look_alike(samples):
    alike = np.zeros((len(samples), 4))
    picks = choose(samples, alike, 20, 0.7)
    assert choose(samples[::-1], alike, 20, 0.7) == picks


def test_features_that_are_no_numbers_are_refused_by_their_image(samples):
    embeddings = embeddings_of(samples)
    embeddings[3, 1] = np.nan
    with pytest.raises(CalibrationError, match=rf"^{samples[3].image}: .* not all numbers; the tr"):
        choose(samples, embeddings, 20, 0.7)


@pytest.mark.parametrize(
    ("n", "share", "message"),
    [
        (37, 1, "split train has 36 defective samples, 37 wanted for calibration; add some, or"),
        (11, 0, "split train has 10 good samples, 11 wanted .* insist with a smaller --images"),
    ],
)
def test_too_few_samples_are_an_error_with_the_mend(samples, n, share, message):
    with pytest.raises(CalibrationError, match=message):
        chosen(samples, n, share)


@pytest.mark.parametrize(("share", "count"), [(0.7, 34), (0.0, 10), (1.0, 36), (0.85, 42)])
def test_of_a_small_set_as_many_images_as_have_the_share(samples, share, count):
    assert most_images(samples, share) == len(chosen(samples, count, share)) == count
    assert most_images(samples, share, most=8) == 8


def test_too_few_for_any_ranges_are_refused_unless_somebody_insists(dataset, model):
    train = dataset.split("train")
    defective, good = ([s for s in train if s.defective == side][:3] for side in (True, False))
    few = replace(dataset, samples=(*defective, *good))
    inspector = Inspector(FlatEngine(), SPEC, Limits(), ("defect",))
    with pytest.raises(CalibrationError, match=r"enough for (\d) calib.* insist with --images \1$"):
        calibrate(few, model, inspector, SPEC, CalibrationSettings())
    asked = CalibrationSettings(images=2)
    assert len(calibrate(few, model, inspector, SPEC, asked).images.images) == 2


def test_an_entry_signs_its_file(samples):
    entry = record_of(samples[0].image, "a.png", "pit", "first")
    assert entry.sha256 == hashlib.sha256(samples[0].image.read_bytes()).hexdigest()
    assert (entry.file, entry.stratum, entry.reason) == ("a.png", "pit", "first")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network of three steps: float(image), minus 100, and no less than 0."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels", "hundred"], ["shifted"], "shift"),
        helper.make_node("Relu", ["shifted"], ["positive"], "relu"),
    ]
    shape = ["N", "H", "W", 1]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("positive", TensorProto.FLOAT, shape)],
        [helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0])],
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def batches(low, high):
    """Three inputs, of one to three tiles."""
    rng = np.random.default_rng(low)
    return [rng.integers(low, high, (n, 8, 8, 1), np.uint8) for n in (1, 3, 2)]


@pytest.mark.parametrize(("low", "high"), [(0, 256), (3, 90), (120, 200)])
def test_minmax_ranges_are_those_of_numpy_with_zero_in_them(model, low, high):
    images = batches(low, high)
    pixels = np.concatenate(images).astype(float)
    shifted = pixels - 100
    assert activation_ranges(model, images, RangeMethod.MINMAX) == {
        "pixels": (0, pixels.max()),
        "shifted": (min(shifted.min(), 0), max(shifted.max(), 0)),
        "positive": (0, max(shifted.max(), 0)),
    }


def test_percentile_ranges_leave_out_what_is_rare(model):
    image = np.full((1, 300, 300, 1), 120, np.uint8)
    image[0, 0, 0] = 255
    images = [image, image]
    widest = activation_ranges(model, images, RangeMethod.MINMAX)["shifted"]
    narrower = activation_ranges(model, images, RangeMethod.PERCENTILE)["shifted"]
    assert widest == (0, 155)
    assert narrower == (0, pytest.approx(20, abs=155 / 2048))  # a bin


class FlatEngine:
    """An engine without networks: its only skip is the pixels."""

    name = "flat"
    tiles = 16

    def gate(self, images):
        """No score, and the pixels as (N, C, H, W)."""
        return np.zeros((len(images), 1), np.float32), {"skip": images.transpose(0, 3, 1, 2)}

    def mask(self, _skips, _tile):
        """Nothing is drawn."""
        return np.zeros((1, SPEC.height, SPEC.width), np.uint8)


@pytest.fixture
def dataset(drawn_set):
    return read_dataset(drawn_set)


@pytest.fixture
def calibration(dataset, model):
    inspector = Inspector(FlatEngine(), SPEC, Limits(), ("defect",))
    return calibrate(dataset, model, inspector, SPEC, CalibrationSettings(images=8))


@pytest.fixture
def written(tmp_path, calibration, dataset):
    write_calibration(tmp_path, calibration, dataset)
    return tmp_path


def test_calibration_images_come_from_the_training_split_alone(calibration, dataset):
    training = {sample.name: sample for sample in dataset.split("train")}
    files = [image.file for image in calibration.images.images]
    assert len(files) == 8
    assert set(files) <= training.keys()
    assert sum(training[name].defective for name in files) == round(8 * 0.7)


def test_ranges_are_taken_over_the_chosen_images(calibration, dataset):
    brightest = max(
        read_image(dataset.root / image.file, 1)
        .astype(float)
        .reshape(32, 2, 32, 2)
        .mean((1, 3))
        .max()
        for image in calibration.images.images
    )
    assert calibration.scales.ranges["pixels"] == (0, pytest.approx(brightest, abs=0.51))


def test_tiles_come_as_many_at_once_as_the_engine_takes(dataset):
    engine = FlatEngine()
    engine.tiles = 3
    spec = InputSpec(32, 32, 1, Fit.TILE)
    inspector = Inspector(engine, spec, Limits(), ("defect",))
    sample = dataset.samples[0]
    images = [record_of(sample.image, sample.name, "", "")]
    found = list(calibration_tiles(images, dataset.root, inspector, spec))
    whole = inspector.preprocess(frame_of_image(sample.image, 1, 0, sample.name))[1]
    assert [len(tiles) for tiles in found] == [3, 3, 3]
    np.testing.assert_array_equal(np.concatenate(found), whole)


def test_a_calibration_is_read_as_it_was_written(written, calibration, dataset, model):
    assert read_calibration(written, dataset, model) == calibration
    assert read_image(written / SHEET_FILE, 3).shape == (142, 8 * 128, 3)


def test_a_calibration_for_other_data_is_refused(written, dataset, model):
    message = r"calibration\.json: data_digest is .*, expected 0000.*made for something else; cal"
    with pytest.raises(CalibrationError, match=message):
        read_calibration(written, replace(dataset, digest="0" * 64), model)


def test_a_calibration_for_another_model_is_refused(written, dataset, model, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(CalibrationError, match=r"scales\.json: model_sha256 is .*something else"):
        read_calibration(written, dataset, other)


def test_a_calibration_for_other_pixels_is_refused(written, calibration, dataset, model):
    write_record(written / SET_FILE, replace(calibration.images, preprocess_digest="1" * 64))
    message = r"calibration\.json: preprocess_digest is 1111.*something else; calibrate again"
    with pytest.raises(CalibrationError, match=message):
        read_calibration(written, dataset, model)


def test_ranges_over_other_images_are_refused(written, calibration, dataset, model):
    fewer = replace(calibration.images, images=calibration.images.images[1:])
    write_record(written / SET_FILE, fewer)
    with pytest.raises(CalibrationError, match=r"scales\.json: calibration_digest is .*expected"):
        read_calibration(written, dataset, model)


def test_an_image_that_was_changed_since_is_named(written, dataset, model, calibration, tmp_path):
    moved = replace(dataset, root=shutil.copytree(dataset.root, tmp_path / "moved"))
    assert read_calibration(written, moved, model) == calibration
    image = moved.root / calibration.images.images[3].file
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(CalibrationError, match=rf"^{image}: is not the image that .*again"):
        read_calibration(written, moved, model)


@pytest.mark.parametrize("name", [SET_FILE, SCALES_FILE])
def test_a_missing_or_newer_file_is_named(written, dataset, model, name):
    content = (written / name).read_text(encoding="utf-8")
    (written / name).write_text(content.replace('"schema": 1', '"schema": 2'), encoding="utf-8")
    with pytest.raises(CalibrationError, match=rf"{name}: schema is 2, expected 1; calibrate"):
        read_calibration(written, dataset, model)
    (written / name).unlink()
    with pytest.raises(CalibrationError, match=rf"{name}: cannot be read \(No such file.*again"):
        read_calibration(written, dataset, model)
