"""Ways of training: tiles, several classes, samples only labelled, sets without good ones."""

import csv
import os
import platform
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.calibrating import calibrate_bundle
from calibration.settings import CalibrationSettings
from runtime.errors import DataError, ModelError
from runtime.images import write_png
from runtime.tiling import Fit
from train.checkpoint import load_model
from train.dataset import SPLITS_FILE, read_dataset
from train.encoder import encoder
from train.processes import held
from train.scorecard import evaluate
from train.settings import TrainSettings
from train.training import train
from train.weights import load_encoder_weights

QUICK = {"width": 64, "height": 64, "weights": "none", "epochs": 1, "batch_size": 4}


@pytest.mark.parametrize(
    ("samples", "changes", "epochs"),
    [
        (804, {}, 16),
        (804, {"devices": 2, "batch_size": 4}, 16),
        (804, {"decoder_alone": False}, 8),
        (804, {"classifier": False}, 8),
        (804, {"epochs": 3}, 3),
        (3, {}, 1600),
        (100_000, {}, 10),
    ],
)
def test_epochs_are_as_many_as_the_set_needs(samples, changes, epochs):
    assert TrainSettings("set", Path("run"), **changes).epochs_over(samples) == epochs


@pytest.mark.parametrize(
    ("changes", "together"),
    [
        ({"epochs": 1}, 1),
        ({"epochs": 4}, 2),
        ({"epochs": 5}, 3),
        ({"epochs": 4, "classifier": False}, 4),
        ({"epochs": 4, "decoder_alone": False}, 4),
    ],
)
def test_in_the_second_half_of_its_epochs_the_decoder_learns_alone(changes, together):
    settings = TrainSettings("set", Path("run"), **changes)
    assert settings.epochs_together == together
    stages = [settings.stage_of(epoch) for epoch in range(settings.epochs)]
    alone = range(together, settings.epochs)
    assert stages == [range(together)] * together + [alone] * len(alone)


@pytest.fixture
def editable(drawn_set, tmp_path):
    """A copy of the set, and its rows; `save` writes them back."""
    root = tmp_path / "set"
    shutil.copytree(drawn_set, root)
    with (root / "split.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def save(kept):
        with (root / "split.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(kept)

    return root, rows, save


@pytest.mark.parametrize(
    "changes",
    [
        {"fit": Fit.TILE, "width": 32, "height": 32, "scale": 0.75},
        {"fit": Fit.LETTERBOX, "width": 96},
        {"by_class": True},
        {"classifier": False},
        {"encoder": "resnet18"},
        {"precision": "bf16-mixed"},
    ],
    ids=["tiles", "letterbox", "by class", "no classifier", "resnet18", "bf16"],
)
def test_every_way_of_training_ends_in_a_model_that_can_be_evaluated(changes, drawn_set, tmp_path):
    run = tmp_path / "run"
    record = train(TrainSettings(drawn_set, run, **QUICK | changes))
    assert record.metrics["n"] == 5
    assert evaluate(run, drawn_set, "test", None, None)["n"] == 5


def test_a_model_of_several_classes_knows_their_names(drawn_set, tmp_path):
    train(TrainSettings(drawn_set, tmp_path / "run", by_class=True, **QUICK))
    network, record = load_model(tmp_path / "run")
    assert record.class_names == read_dataset(drawn_set).class_names
    assert network.decoder.draw.out_channels == 4 * len(record.class_names) > 4


@pytest.mark.parametrize("freeze_early", [True, False])
def test_the_first_layers_of_a_pretrained_encoder_are_kept(drawn_set, tmp_path, freeze_early):
    settings = QUICK | {"weights": "auto", "freeze_early": freeze_early}
    train(TrainSettings(drawn_set, tmp_path / "run", **settings))
    network, record = load_model(tmp_path / "run")
    pretrained = encoder(record.network.encoder)
    load_encoder_weights(pretrained, record.network.encoder, "auto")
    learned, given = (e.state_dict()["conv_stem.weight"] for e in (network.encoder, pretrained))
    assert torch.equal(learned, given) == freeze_early


def test_the_decoder_alone_draws_otherwise_and_decides_the_same(drawn_set, tmp_path):
    for out, changes in ((tmp_path / "begun", {}), (tmp_path / "whole", {"epochs": 2})):
        train(TrainSettings(drawn_set, out, **QUICK | changes))
    begun, whole = (load_model(tmp_path / name)[0].state_dict() for name in ("begun", "whole"))
    learned_on = {name for name, value in whole.items() if not torch.equal(begun[name], value)}
    assert {name.partition(".")[0] for name in learned_on} == {"decoder"}
    weights = {name for name in whole if name.startswith("decoder.") and name.endswith("weight")}
    assert weights <= learned_on


def test_some_samples_may_be_labelled_and_not_drawn(editable, tmp_path):
    root, rows, save = editable
    learned = [row for row in rows if row["split"] == "train" and row["label"] == "1"]
    for row in learned[1:]:
        row["mask"] = ""
    save(rows)
    assert train(TrainSettings(root, tmp_path / "run", **QUICK)).metrics["n"] == 5


def test_somewhere_the_defects_must_be_drawn(editable, tmp_path):
    root, rows, save = editable
    for row in rows:
        row["mask"] = ""
    save(rows)
    message = r"the 15 samples of split train: 6 are defective, none is drawn \(a box is no"
    with pytest.raises(DataError, match=message):
        train(TrainSettings(root, tmp_path / "run", **QUICK))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86's /proc/cpuinfo")
def test_a_processor_without_bfloat16_says_so(drawn_set, tmp_path, capsys):
    has_fast = "avx512vl" in Path("/proc/cpuinfo").read_text("utf-8").split()
    train(TrainSettings(drawn_set, tmp_path / "run", precision="bf16-mixed", **QUICK))
    assert ("no instructions for it" in capsys.readouterr().err) == (not has_fast)


def test_without_good_samples_the_gate_stays_open(editable, tmp_path, capsys):
    root, rows, save = editable
    save([row for row in rows if row["label"] == "1"])
    record = train(TrainSettings(root, tmp_path / "run", **QUICK))
    assert record.limits.threshold == 0
    assert record.metrics["recall"] == 1
    said = capsys.readouterr().err
    assert "has no good samples, so no gate can be learned" in said
    assert "AP -" in said
    assert "AP 0.000" not in said


def test_good_samples_in_one_split_only_are_not_enough(editable, tmp_path):
    root, rows, save = editable
    save([row for row in rows if row["label"] == "1" or row["split"] != "val"])
    with pytest.raises(DataError, match=r"no good samples among the .* of split val, first half"):
        train(TrainSettings(root, tmp_path / "run", **QUICK))


@pytest.mark.parametrize("was_made", [True, False])
def test_the_split_is_written_down_with_the_run(editable, tmp_path, was_made):
    root, rows, save = editable
    for row in rows if was_made else ():
        row["split"] = ""
    save(rows)
    train(TrainSettings(root, tmp_path / "run", **QUICK))
    with (tmp_path / "run" / SPLITS_FILE).open(encoding="utf-8") as file:
        written = {row["file"]: row["split"] for row in csv.DictReader(file)}
    assert written == {sample.name: sample.split for sample in read_dataset(root).samples}


def test_what_to_do_next_can_be_pasted(drawn_set, tmp_path, capsys):
    train(TrainSettings(drawn_set, tmp_path / "run 1", **QUICK))
    assert f"export --int8 --model '{tmp_path}/run 1' --out" in capsys.readouterr().err


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("_finish", "the same command with --resume goes on from its last epoch"),
        ("_show", "the same command with --resume goes on from its last epoch"),
        ("_train_epoch", "stopped before an epoch was saved; begin anew"),
        ("_loader", "stopped before an epoch was saved; begin anew"),
    ],
)
def test_a_run_that_is_ended_says_how_it_goes_on(
    drawn_set, tmp_path, monkeypatch, capsys, end, stage, said
):
    settings = TrainSettings(drawn_set, tmp_path / "run", **QUICK)

    def interrupt(*_):
        raise end

    monkeypatch.setattr(f"train.training.{stage}", interrupt)
    with pytest.raises(end):
        train(settings)
    assert f"{tmp_path}/run: {said}" in capsys.readouterr().err


def test_two_runs_do_not_write_into_one_folder(drawn_set, tmp_path):
    (tmp_path / "run").mkdir()
    settings = TrainSettings(drawn_set, tmp_path / "run", **QUICK)
    with held(settings.out), pytest.raises(ModelError, match="run: another training writes there"):
        train(settings)
    assert not any(settings.out.iterdir())
    train(settings)


def test_an_epoch_that_was_not_saved_is_not_told(drawn_set, tmp_path, monkeypatch, capsys):
    settings = TrainSettings(drawn_set, tmp_path / "run", **QUICK)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("train.training.save_state", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    assert "epoch 1/1" not in capsys.readouterr().err
    with pytest.raises(ModelError, match="no unfinished run; train without --resume"):
        train(replace(settings, resume=True))
    train(settings)
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2


def test_without_a_run_to_resume_nothing_is_left(drawn_set, tmp_path):
    with pytest.raises(ModelError, match="no unfinished run; train without --resume"):
        train(TrainSettings(drawn_set, tmp_path / "run", resume=True, **QUICK))
    assert not (tmp_path / "run").exists()


def test_a_model_is_not_evaluated_on_classes_that_it_was_not_taught(editable, drawn_set, tmp_path):
    train(TrainSettings(drawn_set, tmp_path / "run", by_class=True, **QUICK))
    root, rows, save = editable
    next(row for row in rows if row["label"] == "1")["class"] = "rust"
    save(rows)
    with pytest.raises(DataError, match="class 'rust' is unknown to the model, which was taught"):
        evaluate(tmp_path / "run", root, "test", None, None)


def test_a_made_split_is_refused_when_the_set_has_changed(editable, plain_bundle, tmp_path):
    root, rows, save = editable
    for row in rows:
        row["split"] = ""
    save(rows)
    run = tmp_path / "run"
    train(TrainSettings(root, run, **QUICK))
    assert 4 <= evaluate(run, root, "test", None, None)["n"] <= 6
    save(rows[:-1])
    with pytest.raises(DataError, match=r"has no split of its own, and is not as .* was taught it"):
        evaluate(run, root, "test", None, None)
    with pytest.raises(DataError, match=r"is not as .*bundle was taught it"):
        calibrate_bundle(plain_bundle, root, tmp_path / "calibration", CalibrationSettings())
    assert evaluate(run, root, "all", None, None)["n"] == 24


def test_a_tile_of_what_is_only_labelled_teaches_nothing_and_is_refused(editable, tmp_path):
    root, rows, save = editable
    undrawn = next(row for row in rows if row["split"] == "train" and row["label"] == "1")
    undrawn["mask"] = ""
    save(rows)
    tiled = QUICK | {"width": 32, "height": 32, "fit": Fit.TILE}
    with pytest.raises(DataError, match="with --fit tile nobody knows which tile shows it; draw"):
        train(TrainSettings(root, tmp_path / "run", **tiled))


def test_what_is_only_labelled_teaches_nothing_without_a_classifier(editable, tmp_path):
    root, rows, save = editable
    next(r for r in rows if r["split"] == "train" and r["label"] == "1")["mask"] = ""
    save(rows)
    with pytest.raises(DataError, match="only a classifier learns from that: draw it, or train"):
        train(TrainSettings(root, tmp_path / "run", **QUICK, classifier=False))


def test_an_empty_mask_of_a_defect_is_not_measured(editable, trained_run, tmp_path):
    root, rows, _ = editable
    empty = next(row for row in rows if row["split"] == "test" and row["label"] == "1")
    write_png(root / empty["mask"], np.zeros((64, 64), np.uint8))
    out = tmp_path / "result.json"
    with pytest.raises(DataError, match=rf"'{empty['file']}' is labelled defective, but nothing"):
        evaluate(trained_run, root, "test", out, None)
    assert not out.exists()


@pytest.fixture
def line_scan(editable):
    """Makes a good sample of a split too long for a small input; gives the set and the image."""
    root, rows, save = editable

    def lengthen(split):
        good = next(row for row in rows if row["split"] == split and row["label"] == "0")
        write_png(root / good["file"], np.full((32, 12000), 90, np.uint8))
        good["mask"] = ""
        save(rows)
        return root, root / good["file"]

    return lengthen


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_line_scan_that_cannot_be_stretched_is_refused_before_the_run(line_scan, split, tmp_path):
    root, image = line_scan(split)
    with pytest.raises(DataError, match=rf"^{image}: .*; cut it with --fit tile$"):
        train(TrainSettings(root, tmp_path / "run", **QUICK))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_changes_in_the_run_is_named(line_scan, tmp_path, workers, monkeypatch):
    monkeypatch.setattr("train.training.check_shape", lambda *_: (64, 64, 1))
    root, image = line_scan("train")
    with pytest.raises(DataError, match=rf"^{image}: .*; cut it with --fit tile$"):
        train(TrainSettings(root, tmp_path / "run", **QUICK | {"epochs": 2, "workers": workers}))


@pytest.mark.parametrize("flag", ["data", "out", "weights"])
def test_a_path_that_no_record_can_hold_is_refused_before_anything_is_read(flag, tmp_path):
    paths = {"data": tmp_path / "set", "out": tmp_path / "run", "weights": "none"}
    paths[flag] = str(tmp_path / os.fsdecode(b"\xff"))
    message = rf"--{flag} .*/\\xff: is no UTF-8, as model\.json is; rename it"
    with pytest.raises(ModelError, match=message):
        train(TrainSettings(**QUICK | paths))


def test_a_label_without_a_class_says_none_of_several(editable, tmp_path):
    root, rows, save = editable
    classes = read_dataset(root).class_names
    vague = next(r for r in rows if r["split"] == "train" and r["label"] == "1")
    vague["mask"] = vague["class"] = ""
    save(rows)
    found = read_dataset(root).class_names
    assert set(found) <= set(classes)
    assert len(found) > 1
    with pytest.raises(DataError, match=r"labelled 'defect' and not drawn, which does not say of"):
        train(TrainSettings(root, tmp_path / "run", by_class=True, **QUICK))


def test_too_little_memory_is_said_with_what_needs_less(drawn_set, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("train.training.joint_loss", fail)
    message = r"--batch-size 4 --input 64x64: .*; use a smaller --batch-size or --input"
    with pytest.raises(ModelError, match=message):
        train(TrainSettings(drawn_set, tmp_path / "run", **QUICK))
