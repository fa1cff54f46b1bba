"""The synthetic sets and strips: what is drawn is what split.csv says."""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import replace

import cv2
import numpy as np
import pytest

from runtime.errors import DataError
from train.contrast import CLEARLY_VISIBLE
from train.synthesize import (
    SynthesisSettings,
    render,
    set_plans,
    set_samples,
    strip_frames,
    strip_plans,
    synthesize,
)
from train.synthesize.defects import (
    CLASSES,
    LEADING_PIT_PX,
    PIT_ACROSS_PX,
    SCRATCH_WIDTH_PX,
    defect,
)
from train.synthesize.dust import dust
from train.synthesize.noise import Noise
from train.synthesize.streams import generator
from train.synthesize.surfaces import KINDS, surface

SMALL = SynthesisSettings(samples=40, size=(96, 80), seed=7)
SIZE = (256, 256)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthesis") / "set"
    synthesize(out, SMALL)
    return out


@pytest.fixture(scope="module")
def defective_samples():
    plans = set_plans(SynthesisSettings(samples=160, seed=3))
    return [render(plan) for plan in plans if plan.contrast is not None]


def rows_of(folder):
    with (folder / "split.csv").open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def digests_of(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def grey(file):
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


def distance_to(mask):
    return cv2.distanceTransform(np.uint8(mask == 0), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def test_the_same_seed_gives_the_same_bytes(small_set, tmp_path):
    synthesize(tmp_path / "again", SMALL)
    assert digests_of(tmp_path / "again") == digests_of(small_set)


def test_another_seed_gives_other_images(small_set):
    other = next(set_samples(replace(SMALL, seed=8)))
    assert not np.array_equal(other.image, grey(small_set / rows_of(small_set)[0]["file"]))


def test_a_sample_depends_on_its_number_alone():
    longer = list(set_plans(replace(SMALL, samples=60)))
    assert list(set_plans(SMALL)) == longer[:40]
    assert np.array_equal(render(longer[33]).image, list(set_samples(SMALL))[33].image)


def test_the_table_names_every_file_and_nothing_else_is_written(small_set):
    rows = rows_of(small_set)
    named = {row[column] for row in rows for column in ("file", "mask")}
    assert list(rows[0]) == ["file", "mask", "label", "class", "split", "group", "contrast"]
    assert set(digests_of(small_set)) == named | {"split.csv", "synthesis.json"}


def test_the_settings_are_saved_beside_the_result(small_set):
    saved = json.loads((small_set / "synthesis.json").read_text(encoding="utf-8"))
    assert (saved["seed"], saved["samples"], saved["size"]) == (7, 40, [96, 80])


def test_images_and_masks_are_grey_bytes_of_the_asked_size(small_set):
    for row in rows_of(small_set):
        image, mask = grey(small_set / row["file"]), grey(small_set / row["mask"])
        assert image.shape == mask.shape == (80, 96)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == ({0, 255} if row["label"] == "1" else {0})


def test_labels_classes_and_contrast_agree(small_set):
    for row in rows_of(small_set):
        assert (row["class"] == "good") == (row["label"] == "0") == (float(row["contrast"]) == 0)
        assert f"/{row['split']}/" in row["file"]
        assert row["file"].removeprefix("images") == row["mask"].removeprefix("masks")


def test_a_group_never_crosses_splits():
    splits = defaultdict(set)
    for plan in set_plans(SynthesisSettings(samples=200)):
        splits[plan.group].add(plan.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(splits) == 50


def test_images_of_a_group_show_one_surface():
    surfaces = defaultdict(set)
    for plan in set_plans(SynthesisSettings(samples=200)):
        surfaces[plan.group].add((plan.surface_kind, plan.surface_key))
    assert all(len(found) == 1 for found in surfaces.values())


def test_splits_are_60_20_and_20_percent():
    splits = Counter(plan.split for plan in set_plans(SynthesisSettings(samples=200)))
    assert splits == {"train": 120, "val": 40, "test": 40}


@pytest.mark.parametrize("seed", range(5))
def test_classes_and_surfaces_are_balanced(seed):
    plans = list(set_plans(SynthesisSettings(samples=320, seed=seed)))
    assert Counter(plan.name for plan in plans) == {"good": 160, **dict.fromkeys(CLASSES, 40)}
    assert Counter(plan.surface_kind for plan in plans) == dict.fromkeys(KINDS, 80)


def test_every_split_has_every_class_and_surface():
    found = defaultdict(set)
    for plan in set_plans(SynthesisSettings()):
        found[plan.split] |= {plan.name, plan.surface_kind}
    assert all(names == {"good", *CLASSES, *KINDS} for names in found.values())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_the_share_of_defective_samples_is_kept(share):
    plans = set_plans(SynthesisSettings(samples=400, defective_share=share))
    assert sum(plan.contrast is not None for plan in plans) == round(400 * share)


def test_a_defect_changes_the_image_at_its_mask_and_not_elsewhere(defective_samples):
    for sample in defective_samples:
        change = np.abs(sample.image.astype(float) - sample.good)
        inside = np.median(change[sample.mask > 0])
        reach_px = 25 if sample.plan.name == "stain" else 4
        assert inside > 0
        assert change[distance_to(sample.mask) > reach_px].max() <= 1
        assert change[distance_to(sample.mask) > 2].mean() < 0.1 * inside


def test_most_of_the_change_lies_under_the_mask(defective_samples):
    shares = [
        change[sample.mask > 0].sum() / change.sum()
        for sample in defective_samples
        for change in [np.abs(sample.image.astype(float) - sample.good)]
    ]
    assert min(shares) > 0.5
    assert np.median(shares) > 0.7


def test_the_mask_ends_where_the_defect_fades_to_half(defective_samples):
    for sample in defective_samples:
        change = np.abs(sample.image.astype(float) - sample.good)
        inside, typical = change[sample.mask > 0], np.median(change[sample.mask > 0])
        if sample.contrast > CLEARLY_VISIBLE and sample.plan.name != "pit":
            assert np.mean(inside < 0.4 * typical) < 0.05
            assert np.sum(change[sample.mask == 0] > 0.7 * typical) < 0.12 * len(inside)


def test_no_two_samples_have_the_same_defect(defective_samples):
    assert len({sample.mask.tobytes() for sample in defective_samples}) == len(defective_samples)


def test_the_measured_contrast_is_the_one_asked_for(defective_samples):
    errors = [abs(s.contrast / s.plan.contrast - 1) for s in defective_samples]
    assert np.median(errors) < 0.03
    assert max(errors) < 0.2


def test_contrast_can_be_recomputed_from_the_definition(defective_samples):
    for sample in defective_samples[:8]:
        away = distance_to(sample.mask)
        ring = (away > 3.5) & (away < 13)
        change = np.abs(sample.image.astype(float) - sample.good)
        expected = np.median(change[sample.mask > 0]) / sample.good[ring].std()
        assert sample.contrast == pytest.approx(expected, rel=0.05)


def test_most_defects_are_clearly_visible_and_some_are_faint(defective_samples):
    visible = np.mean([sample.contrast >= CLEARLY_VISIBLE for sample in defective_samples])
    assert 0.6 < visible < 0.9


def test_scratches_are_one_to_three_pixels_wide(defective_samples):
    low, high = SCRATCH_WIDTH_PX
    for sample in defective_samples:
        if sample.plan.name == "scratch":
            padded = np.pad(sample.mask, 1)
            half_width = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()
            assert low / 2 <= half_width <= high / 2 + 0.75


def test_lines_have_no_gaps(defective_samples):
    for sample in defective_samples:
        pieces = cv2.connectedComponents(sample.mask, connectivity=8)[0] - 1
        if sample.plan.name == "crack":
            assert pieces == 1
        if sample.plan.name == "scratch":
            assert pieces <= 2


def test_pits_are_three_to_fourteen_pixels_across(defective_samples):
    low, high = PIT_ACROSS_PX
    for sample in defective_samples:
        if sample.plan.name == "pit":
            count, _, stats, _ = cv2.connectedComponentsWithStats(sample.mask)
            across = 2 * np.sqrt(stats[1:, cv2.CC_STAT_AREA] / np.pi)
            assert 1 <= count - 1 <= 3
            assert across.min() > 0.85 * low
            assert LEADING_PIT_PX[0] * 0.9 < across.max() < 1.1 * high


def test_dust_is_smaller_than_the_smallest_pit():
    smallest_pit = np.pi / 4 * PIT_ACROSS_PX[0] ** 2
    for number in range(40):
        change = np.abs(dust(SIZE, generator(0, (number,))))
        pieces = cv2.connectedComponentsWithStats(np.uint8(change > 0))[2][1:]
        for x, y, width, height, _ in pieces:
            speck = change[y : y + height, x : x + width]
            assert np.count_nonzero(speck >= 0.5 * speck.max()) < smallest_pit


def test_pits_are_dark_with_a_bright_rim():
    for number in range(10):
        pit = defect("pit", None, SIZE, generator(0, (number,)))
        assert pit.relief.min() < -0.6
        assert pit.relief.max() > 0


def test_cracks_are_dark():
    assert defect("crack", None, SIZE, generator(0, (1,))).relief.max() <= 0


@pytest.mark.parametrize(("grain", "along_x"), [("down", False), ("across", True)])
def test_scratches_cross_the_grain(grain, along_x):
    for number in range(20):
        mask = defect("scratch", grain, SIZE, generator(0, (number,))).coverage >= 0.5
        _, pieces = cv2.connectedComponents(np.uint8(mask))
        x, y = np.nonzero(pieces == 1)[::-1]
        along, across = (np.ptp(x), np.ptp(y)) if along_x else (np.ptp(y), np.ptp(x))
        assert across > 0.1 * along


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size", [(64, 64), (320, 72)])
def test_no_defect_touches_the_border(name, size):
    for number in range(10):
        coverage = defect(name, None, size, generator(1, (number,))).coverage
        inner = coverage[2:-2, 2:-2]
        assert inner.sum() == pytest.approx(coverage.sum())
        assert inner.max() > 0.5


@pytest.mark.parametrize("spread", [(0.0, 0.0), (1.0, 3.0), (40.0, 0.6), (150.0, 150.0)])
def test_noise_windows_fit_together(spread):
    noise = Noise(0, (1,), spread)
    whole = noise.window(0, 200, 70)
    parts = [noise.window(top, 40, 70) for top in range(0, 200, 40)]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-4)


def test_noise_has_mean_0_and_variance_1():
    for spread in [(0.0, 0.0), (1.0, 1.0), (3.0, 9.0), (40.0, 0.6)]:
        window = Noise(0, (2,), spread).window(0, 6000, 200)
        assert window.mean() == pytest.approx(0, abs=0.1)
        assert window.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_surfaces_are_rough_as_they_say(kind):
    material = surface(kind, 0, (9,))
    fine = material.window(0, SIZE)
    fine = fine - cv2.GaussianBlur(fine, (0, 0), 40)
    assert 0.6 < fine.std() / material.roughness < 1.3


def test_frames_of_a_strip_continue_each_other():
    settings = SynthesisSettings(frames=4, size=(96, 80), seed=2)
    plans = list(strip_plans(settings))
    band = surface(plans[0].surface_kind, 2, plans[0].surface_key).window(0, (96, 320))
    pieces = [surface(p.surface_kind, 2, p.surface_key).window(p.top_px, p.size) for p in plans]
    assert np.allclose(np.concatenate(pieces), band, atol=0.01)


def test_no_step_shows_between_the_frames_of_a_strip():
    for seed in range(4):
        frames = strip_frames(SynthesisSettings(frames=12, size=(128, 64), seed=seed))
        band = np.concatenate([frame.good for frame in frames]).astype(float)
        steps = np.abs(np.diff(band, axis=0)).mean(axis=1)
        borders = steps[63::64]
        assert len(borders) == 11
        assert borders.mean() < 1.15 * np.delete(steps, np.s_[63::64]).mean()


def test_a_strip_is_one_test_split_in_running_order(tmp_path):
    synthesize(tmp_path / "strip", SynthesisSettings(frames=20, size=(64, 64)))
    rows = rows_of(tmp_path / "strip")
    assert [row["file"] for row in rows] == [f"images/test/{n:04d}.png" for n in range(20)]
    assert {(row["split"], row["group"]) for row in rows} == {("test", "strip")}
    assert sum(row["label"] == "1" for row in rows) == 2


def test_a_tenth_of_a_strip_is_defective_at_irregular_places():
    plans = list(strip_plans(SynthesisSettings(frames=200)))
    places = [number for number, plan in enumerate(plans) if plan.contrast is not None]
    assert len(places) == 20
    assert len(set(np.diff(places))) > 4


def test_no_set_shows_the_surface_of_the_strip():
    strip = {plan.surface_key for plan in strip_plans(SynthesisSettings(frames=20))}
    assert strip.isdisjoint({plan.surface_key for plan in set_plans(SynthesisSettings())})


def test_an_existing_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine").write_text("precious", encoding="utf-8")
    with pytest.raises(DataError, match="mine: expected a new folder, but it exists; remove it"):
        synthesize(tmp_path / "mine", SMALL)
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "precious"


def test_nothing_half_written_is_left_after_an_interruption(tmp_path):
    def interrupt(done, _total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "set", SMALL, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/set: cannot be written .* choose another folder"):
        synthesize(tmp_path / "file" / "set", SMALL)


def test_progress_counts_every_image(tmp_path):
    seen = []
    settings = SynthesisSettings(frames=5, size=(64, 64))
    synthesize(tmp_path / "strip", settings, lambda done, total: seen.append((done, total)))
    assert seen == [(n, 5) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"samples": 19}, "samples is 19, expected 20 or more"),
        ({"frames": 0}, "frames is 0, expected 1 or more"),
        ({"size": (256, 32)}, "size is .256, 32., expected 64 px or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"defective_share": 1.5}, "defective_share is 1.5, expected 0 to 1"),
        ({"images_per_part": 0}, "images_per_part is 0, expected 1 or more"),
        ({"contrast": (4.0, 2.0)}, "contrast is .4.0, 2.0., expected 0 < low <= high"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(wrong, message):
    with pytest.raises(DataError, match=message):
        SynthesisSettings(**wrong)
