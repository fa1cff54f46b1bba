"""Trained models as files, and runs that are stopped, resumed, refused or shared."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.errors import DataError, ModelError
from runtime.images import write_png
from runtime.preprocess import preprocess_digest
from runtime.record import write_record
from runtime.spec import InputSpec, Limits
from runtime.tiling import Fit
from train import training
from train.checkpoint import (
    RECORD,
    SCHEMA,
    WEIGHTS,
    ModelRecord,
    load_model,
    load_record,
    new_network,
    save_model,
    settings_record,
)
from train.dataset import SPLITS_FILE, read_dataset
from train.history import HISTORY, add_row
from train.network import NetworkConfig
from train.resume import STATE, load_state, save_state
from train.settings import TrainSettings

ROOT = Path(__file__).parents[1]
SMALL_ENCODER = "mobilenetv3_small_050"
CONFIG = NetworkConfig(SMALL_ENCODER, 1, 1, classifier=True)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return new_network(CONFIG).eval()


@pytest.fixture(scope="module")
def record():
    return ModelRecord(
        schema=SCHEMA,
        network=CONFIG,
        input=InputSpec(64, 96, 1, Fit.TILE),
        class_names=("defect",),
        limits=Limits(0.1 + 0.2, 0.4, 12.5),
        data="parts",
        data_digest="d" * 64,
        preprocess_digest=preprocess_digest(),
        weights_sha256="",
        settings={"epochs": 2, "learning_rate": 1e-3, "fit": "tile", "resume": False},
        metrics={"n": 3, "seg_miou": 1 / 3, "image_ap": None},
        versions={"torch": "2"},
    )


@pytest.fixture
def run(tmp_path, network, record):
    save_model(tmp_path, network, record)
    return tmp_path


@pytest.fixture
def settings(drawn_set, tmp_path, monkeypatch):
    """Two epochs of a small network, on the CPU whatever the machine has."""
    monkeypatch.setattr(
        "lightning_fabric.accelerators.cuda.CUDAAccelerator.is_available", lambda: False
    )
    return TrainSettings(
        data=drawn_set,
        out=tmp_path / "run",
        width=64,
        height=64,
        weights="none",
        epochs=2,
        batch_size=4,
    )


def history_of(out):
    with (out / HISTORY).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def edit(run, **changes):
    """Change fields of model.json, as one who writes it would: with its seal."""
    content = json.loads((run / RECORD).read_text(encoding="utf-8")) | changes
    del content["sha256"]
    write_record(run / RECORD, content)


@torch.inference_mode()
def test_a_saved_model_gives_the_same_numbers(run, network):
    image = torch.arange(64 * 64).reshape(1, 64, 64, 1).to(torch.uint8)
    loaded, _ = load_model(run)
    assert not loaded.training
    for before, after in zip(network(image), loaded(image), strict=True):
        assert torch.equal(before, after)


def test_a_saved_record_is_read_to_the_bit_and_signs_its_weights(run, network, record, tmp_path):
    _, loaded = load_model(run)
    assert len(loaded.weights_sha256) == 64
    assert loaded == replace(record, weights_sha256=loaded.weights_sha256)
    assert loaded == load_record(run) == save_model(tmp_path, network, record)


def test_fields_of_a_newer_defectgate_are_passed_over(run):
    expected = load_record(run)
    edit(run, colour="blue")
    assert load_record(run) == expected


@pytest.mark.parametrize("place", [0, 9, 1000, -1])
def test_a_changed_byte_of_the_weights_is_refused(run, place):
    content = bytearray((run / WEIGHTS).read_bytes())
    content[place] ^= 1
    (run / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors: sha256 is .* restore it or train"):
        load_model(run)


def test_weights_of_another_network_are_refused(run):
    edit(run, network={"encoder": SMALL_ENCODER, "channels": 1, "classes": 2, "classifier": True})
    with pytest.raises(ModelError, match=r"holds another network than model\.json .*; train"):
        load_model(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema is 2, expected 1; train the model again"),
        ({"schema": None}, "schema is None, expected 1; train the model again"),
        ({"limits": {"threshold": "high"}}, r"got `str` - at `\$\.limits\.threshold`; train"),
        ({"input": {"width": 64, "height": 64}}, r"field `channels` - at `\$\.input`; train"),
        ({"input": {"width": 8, "height": 8, "channels": 1, "fit": "crop"}}, r"\$\.input\.fit"),
        ({"metrics": {"n": []}}, r"\$\.metrics\[\.\.\.\]"),
        ({"preprocess_digest": "0" * 64}, "preprocess_digest is 000000000000, this .*train it"),
    ],
)
def test_a_wrong_field_of_the_record_is_named(run, changes, message):
    edit(run, **changes)
    with pytest.raises(ModelError, match=rf"model\.json: .*{message}"):
        load_record(run)


def test_a_changed_number_of_the_record_is_refused(run):
    text = (run / RECORD).read_text(encoding="utf-8")
    assert text.count('"threshold": 0.') == 1
    (run / RECORD).write_text(text.replace('"threshold": 0.', '"threshold": 1.'), encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.json: was changed since it was written; train"):
        load_record(run)


@pytest.mark.parametrize("content", [b"", b"[]", b"model", b'{"schema":1,"data":"\xff"}'])
def test_a_record_that_is_no_json_object_is_refused(run, content):
    (run / RECORD).write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.json: .*; train the model again"):
        load_record(run)


@pytest.mark.parametrize("name", [RECORD, WEIGHTS])
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(ModelError, match=rf"{name}: cannot be read \(No such file.*train"):
        load_model(run)


def test_settings_are_saved_as_plain_values(settings):
    saved = settings_record(settings)
    assert saved["fit"] == "stretch"
    assert saved["data"] == str(settings.data)
    assert saved["weights"] == "none"
    assert (saved["epochs"], saved["learning_rate"]) == (2, 1e-3)


def test_the_state_of_another_network_is_refused(tmp_path, network):
    optimizer = torch.optim.AdamW(network.parameters())
    save_state(tmp_path, {"network": network}, optimizer, {"epoch": 1})
    other = new_network(replace(CONFIG, classes=2))
    message = r"resume\.safetensors: .* of another network .*; resume with .* another --out"
    with pytest.raises(ModelError, match=message):
        load_state(tmp_path, {"network": other}, torch.optim.AdamW(other.parameters()))


def states_of(settings, monkeypatch, epochs):
    """Train until so many epochs are saved; gives the state after each of them."""
    states = []

    def save_and_count(*arguments):
        save_state(*arguments)
        states.append((settings.out / STATE).read_bytes())
        if len(states) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_state", save_and_count)
    with pytest.raises(KeyboardInterrupt):
        training.train(settings)
    return states


@pytest.mark.parametrize("stopped_after", [1, 2, 3])  # among all together, between, among alone
def test_a_resumed_run_ends_bit_for_bit_like_one_that_was_not_stopped(
    settings, stopped_after, monkeypatch
):
    settings = replace(settings, epochs=4)
    straight, stopped = (replace(settings, out=settings.out / name) for name in ("a", "b"))
    wanted = states_of(straight, monkeypatch, 4)
    resumed = states_of(stopped, monkeypatch, stopped_after)
    add_row(stopped.out, {"epoch": 9})  # stopped again, after the row and before the state
    resumed += states_of(replace(stopped, resume=True), monkeypatch, 4 - stopped_after)
    assert len(set(wanted)) == 4
    assert resumed == wanted
    logs = [history_of(run.out) for run in (straight, stopped)]
    assert [row["epoch"] for row in logs[0]] == ["1", "2", "3", "4"]
    costs = {"seconds", "samples_per_second", "peak_memory_mib"}
    told, again = ([{k: v for k, v in r.items() if k not in costs} for r in log] for log in logs)
    assert told == again


def test_a_run_ends_as_a_model_that_is_not_trained_over(settings):
    settings = replace(settings, epochs=1)
    record = training.train(settings)
    _, loaded = load_model(settings.out)
    assert loaded == record
    assert loaded.data_digest == read_dataset(settings.data).digest
    assert loaded.metrics["n"] == 5
    assert {path.name for path in settings.out.iterdir()} == {RECORD, WEIGHTS, HISTORY, SPLITS_FILE}
    for resume in (False, True):
        with pytest.raises(ModelError, match="run: holds a trained model; choose another --out"):
            training.train(replace(settings, resume=resume))


def test_an_unfinished_run_is_not_begun_anew(settings, monkeypatch):
    (state,) = states_of(settings, monkeypatch, 1)
    message = "run: holds an unfinished run; go on with --resume, or choose another --out"
    with pytest.raises(ModelError, match=message):
        training.train(settings)
    assert (settings.out / STATE).read_bytes() == state


def test_a_run_is_not_resumed_with_other_settings(settings, monkeypatch):
    states_of(settings, monkeypatch, 1)
    other = replace(settings, resume=True, learning_rate=0.5, seed=9)
    message = r"had learning_rate 0\.001, not 0\.5 and seed 0, not 9; resume it as it was begun"
    with pytest.raises(ModelError, match=message):
        training.train(other)


def test_a_run_is_not_resumed_with_other_samples(settings, monkeypatch, tmp_path):
    states_of(settings, monkeypatch, 1)
    shutil.copytree(settings.data, tmp_path / "copy")
    resumed = replace(settings, resume=True, data=tmp_path / "copy")
    image = next((tmp_path / "copy/images/train").iterdir())
    write_png(image, np.zeros((64, 64), np.uint8))
    with pytest.raises(ModelError, match=r"had other samples than .*copy has now; resume it as it"):
        training.train(resumed)


def test_a_run_is_resumed_wherever_its_set_is(settings, monkeypatch, tmp_path):
    states_of(settings, monkeypatch, 1)
    shutil.copytree(settings.data, tmp_path / "copy")
    training.train(replace(settings, resume=True, data=f"{tmp_path / 'copy'}::split.csv"))
    assert len(history_of(settings.out)) == settings.epochs


def test_an_unfinished_run_is_no_model_and_says_how_it_goes_on(settings, monkeypatch):
    states_of(settings, monkeypatch, 1)
    with pytest.raises(ModelError, match=r"run: holds an unfinished run; .* goes on with --resume"):
        load_model(settings.out)


def test_a_run_is_resumed_to_as_many_epochs_as_it_was_begun_with(settings, monkeypatch):
    states_of(settings, monkeypatch, 1)
    training.train(replace(settings, resume=True, epochs=0))
    assert len(history_of(settings.out)) == settings.epochs


def test_nothing_to_resume_is_an_error_with_the_mend(settings):
    message = r"resume\.safetensors: no unfinished run; train without --resume"
    with pytest.raises(ModelError, match=message):
        training.train(replace(settings, resume=True))


def test_a_set_that_cannot_be_learned_from_leaves_no_run_behind(settings, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(settings.data, broken)
    for mask in (broken / "masks/train").iterdir():
        mask.write_bytes(b"no picture")
    with pytest.raises(DataError, match="is not a readable image"):
        training.train(replace(settings, data=broken))
    assert not settings.out.exists()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("inception_v3", "its features do not fit a decoder"),
        ("maxvit_pico_rw_256", "its features do not fit a decoder"),
        ("nf_regnet_b0", "its ScaledStdConv2d computes its weights, so it cannot be quantised"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused_before_a_run_begins(settings, encoder, message):
    with pytest.raises(ModelError, match=f"{encoder}: {message}"):
        training.train(replace(settings, encoder=encoder))
    assert not settings.out.exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_epochs(settings):
    command = [sys.executable, "-m", "train", "--data", settings.data, "--out", settings.out]
    command += ["--input", "64x64", "--weights", "none", "--epochs", "6"]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    peaks = [float(row["peak_memory_mib"]) for row in history_of(settings.out)]
    assert len(peaks) == 6
    assert peaks[5] - peaks[2] < 0.02 * peaks[2]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["-m", "torch.distributed.run", "--nproc-per-node=2"]])
def test_two_processes_learn_what_one_does(launcher, visible_set, trained_run, tmp_path):
    script, out = tmp_path / "twice.py", tmp_path / "run"
    alone = load_record(trained_run)
    script.write_text(
        "from pathlib import Path\n"
        "from train.settings import TrainSettings\n"
        "from train.training import train\n"
        f"train(TrainSettings({str(visible_set)!r}, Path({str(out)!r}), width=64, height=64,\n"
        "    epochs=16, learning_rate=2e-3, augment=False, average_decay=0.9,\n"
        "    batch_size=4, devices=2))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *launcher, script]
    done = subprocess.run(
        command, check=False, timeout=300, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    together = load_record(out)
    assert together.metrics["n"] == alone.metrics["n"]
    for name, noise in (("image_ap", 0.1), ("seg_miou", 0.15), ("pooled_miou", 0.15)):
        assert together.metrics[name] == pytest.approx(alone.metrics[name], abs=noise)


@pytest.mark.slow
def test_of_two_processes_one_says_what_went_wrong_and_both_end(drawn_set, tmp_path):
    script = tmp_path / "twice.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from runtime.errors import DataError\n"
        "from train import training\n"
        "from train.settings import TrainSettings\n"
        "def fail(*_):\n"
        "    raise DataError('val/3.png: cannot be read')\n"
        "training._validate = fail\n"
        "try:\n"
        f"    training.train(TrainSettings({str(drawn_set)!r}, Path({str(tmp_path / 'run')!r}),\n"
        "        width=64, height=64, weights='none', epochs=1, batch_size=4, devices=2))\n"
        "except DataError as error:\n"
        "    sys.exit(f'DataError: {error}')\n",
        encoding="utf-8",
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script]
    done = subprocess.run(
        command, check=False, timeout=300, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert done.stderr.count("DataError: val/3.png: cannot be read") == 1
    assert "Traceback" not in done.stderr
