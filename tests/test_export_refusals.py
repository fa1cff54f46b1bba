"""What export does not take, and that nothing is lost or left behind then."""

import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from exports import assert_refused, files_of, settings_of

from calibration.calibrating import calibrate_bundle
from calibration.settings import CalibrationSettings
from export.exporting import export
from runtime.errors import DataError, ManifestError, ModelError
from runtime.record import write_record
from train.checkpoint import RECORD, load_record, new_network, save_model
from train.dataset import read_dataset


def test_a_failure_at_the_end_leaves_nothing(trained_run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("export.exporting.write_golden", full)
    assert_refused(OSError, "No space left", settings_of(trained_run, tmp_path / "out" / "bundle"))


def test_an_export_that_is_told_to_end_leaves_nothing(trained_run, tmp_path):
    export = ("export", "--model", str(trained_run), "--out", str(tmp_path / "bundle"))
    with subprocess.Popen([sys.executable, "-m", "defectgate", *export]) as process:
        while not list(tmp_path.glob(".bundle.*/float/*")) and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_forgotten_by_a_success_and_by_nothing_else(
    trained_run, tmp_path, monkeypatch
):
    wanted = settings_of(trained_run, tmp_path / "bundle")
    told = {"report.html": b"old", "parity.json": b"old"}
    (tmp_path / "bundle.refused").mkdir()
    for name, content in told.items():
        (tmp_path / "bundle.refused" / name).write_bytes(content)
    with monkeypatch.context() as patched:
        patched.setattr("export.exporting.write_golden", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(wanted)
    assert files_of(tmp_path / "bundle.refused") == told
    export(wanted)
    assert list(tmp_path.iterdir()) == [wanted.out]


@pytest.mark.parametrize("kept", [{"report.html"}, {"report.html", "parity.json", "mine"}])
def test_what_is_no_refusal_is_never_removed(trained_run, tmp_path, kept):
    (tmp_path / "bundle.refused").mkdir()
    for name in kept:
        (tmp_path / "bundle.refused" / name).write_text("precious", encoding="utf-8")
    wanted = settings_of(trained_run, tmp_path / "bundle")
    assert_refused(ManifestError, "bundle.refused: a refusal is told there, and it holds", wanted)
    assert files_of(tmp_path / "bundle.refused") == dict.fromkeys(kept, b"precious")


def test_a_file_in_the_place_of_a_refusal_is_left_there(trained_run, tmp_path):
    (tmp_path / "bundle.refused").write_text("precious", encoding="utf-8")
    wanted = settings_of(trained_run, tmp_path / "bundle")
    assert_refused(ManifestError, "bundle.refused: a refusal is told there", wanted)


def test_an_output_that_exists_is_left_as_it_was(trained_run, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("precious", encoding="utf-8")
    wanted = settings_of(trained_run, tmp_path / "bundle")
    assert_refused(ManifestError, f"--out {wanted.out}: exists; choose another", wanted)
    assert files_of(tmp_path / "bundle") == {"mine": b"precious"}


def test_pictures_in_the_dataset_are_refused(trained_run, float_bundle, visible_set, monkeypatch):
    monkeypatch.setattr("train.dataset.READ_WHOLE", {read_dataset(visible_set).layout})
    out = visible_set / "made"
    said = f"--out {out}: lies in {visible_set}, which is read, so pictures there would count"
    assert_refused(DataError, said, settings_of(trained_run, out))
    with pytest.raises(DataError, match=re.escape(said)):
        calibrate_bundle(float_bundle, visible_set, out, CalibrationSettings(images=8))
    assert not out.exists()


def test_what_is_no_training_run_is_refused(int8_bundle, tmp_path):
    for run, said in ((tmp_path / "nowhere", "no such folder"), (int8_bundle, "is a bundle; name")):
        wanted = settings_of(run, tmp_path / "out" / "bundle")
        assert_refused(ModelError, f"{run}: {said}", wanted)


def test_data_that_lie_elsewhere_now_are_asked_for(trained_run, tmp_path):
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    write_record(run / RECORD, replace(load_record(run), data=str(tmp_path / "moved")))
    wanted = settings_of(run, tmp_path / "bundle")
    message = f"{tmp_path / 'moved'}: no such folder; the model was trained on this: if it lies"
    assert_refused(DataError, message, replace(wanted, data=None))
    with pytest.raises(DataError) as no:
        export(replace(wanted, data=tmp_path / "too"))
    assert str(no.value) == f"{tmp_path / 'too'}: no such folder"


def test_changed_weights_are_refused(trained_run, tmp_path):
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    weights = bytearray((run / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "model.safetensors").write_bytes(weights)
    wanted = settings_of(run, tmp_path / "out" / "bundle")
    assert_refused(ModelError, "model.safetensors: sha256 is ", wanted)


def test_a_model_without_classifier_has_no_gate_to_export(trained_run, tmp_path):
    record = load_record(trained_run)
    config = replace(record.network, classifier=False)
    (tmp_path / "run").mkdir()
    network = new_network(config)
    save_model(tmp_path / "run", network, replace(record, network=config))
    wanted = settings_of(tmp_path / "run", tmp_path / "out" / "bundle")
    assert_refused(ModelError, "--no-classifier: it has no gate to export", wanted)
