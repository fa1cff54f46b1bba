"""The command line: what it offers, what it loads, and how it says what went wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import defectgate as command
from runtime.errors import (
    CalibrationError,
    DataError,
    DefectgateError,
    EngineError,
    ManifestError,
    ModelError,
    QualityError,
    SourceError,
)

VERBS = [
    "synthesize",
    "train",
    "evaluate",
    "calibrate",
    "export",
    "build",
    "runtime",
    "record",
    "benchmark",
    "doctor",
]
STAGES = ["train", "calibration", "export", "runtime"]
HEAVY = {"torch", "numpy", "cv2", "onnxruntime", "onnx", "timm", "scipy", "sklearn"}
NOT_ON_THE_DEVICE = {"torch", "onnx", "timm", "scipy", "sklearn", "safetensors", "lightning_fabric"}
EXPORT = ("export", "--model", "m", "--out", "o")
NOT_OF_THE_DEVICE = {"train", "calibration", "export"}


def python(code, *arguments):
    """What `code` prints, in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def main(monkeypatch, capfd):
    """Runs the command in this process; gives its exit status and what it wrote."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["defectgate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def part(tmp_path):
    """A folder with one black picture."""
    import cv2
    import numpy as np

    folder = tmp_path / "part"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((64, 64), np.uint8))
    return folder


def test_help_lists_the_verbs(defectgate):
    done = defectgate("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [verb for verb in VERBS if f" {verb} " in done.stdout] == VERBS


def test_no_arguments_show_the_help(defectgate):
    done = defectgate()
    assert done.returncode == 2
    assert all(f" {verb} " in done.stdout + done.stderr for verb in VERBS)


@pytest.mark.parametrize("arguments", [[], *([verb] for verb in VERBS)])
def test_help_works_and_loads_nothing_heavy(arguments):
    loaded = python(
        """
import json, sys
sys.argv = ["defectgate", *sys.argv[1:], "--help"]
import defectgate
try:
    defectgate.main()
except SystemExit as ended:
    assert ended.code == 0
print(json.dumps(sorted(sys.modules)))
""",
        *arguments,
    )
    helped, modules = loaded[: loaded.rindex("[")], json.loads(loaded[loaded.rindex("[") :])
    assert "--help" in helped
    assert "Usage: " in helped
    assert "typer" in modules
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_a_command_of_its_own(stage):
    done = subprocess.run(
        [sys.executable, "-m", stage, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python -m {stage}" in done.stdout
    assert "--out" in done.stdout


def test_the_installed_command_is_the_same():
    script = Path(sys.executable).parent / "defectgate"
    if not script.exists():
        pytest.skip("needs the package installed (pip install -e .)")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(f" {verb} " in done.stdout for verb in VERBS)


def test_the_runtime_loads_neither_torch_nor_another_stage():
    modules = python(
        """
import importlib, json, pkgutil, sys
import runtime
for module in pkgutil.iter_modules(runtime.__path__, "runtime."):
    if module.name != "runtime.__main__":
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""
    )
    loaded = set(json.loads(modules))
    assert {"runtime.loop", "runtime.camera", "cv2", "numpy", "onnxruntime"} <= loaded
    assert not (NOT_ON_THE_DEVICE | NOT_OF_THE_DEVICE) & loaded


def test_a_run_loads_neither_torch_nor_another_stage(plain_bundle, part):
    modules = python(
        """
import json, sys
sys.argv = ["runtime", "--camera", sys.argv[1], "--bundle", sys.argv[2], "--out", sys.argv[3]]
import runtime.cli, runtime.command
try:
    runtime.command.run_verb(runtime.cli.runtime)
except SystemExit as ended:
    assert ended.code == 0
print(json.dumps(sorted(sys.modules)))
""",
        *map(str, (part, plain_bundle, part.parent / "lines")),
    )
    assert not (NOT_ON_THE_DEVICE | NOT_OF_THE_DEVICE) & set(json.loads(modules))
    assert len((part.parent / "lines").read_text(encoding="utf-8").splitlines()) == 3


def test_verdicts_go_to_standard_output_and_nothing_else(defectgate, plain_bundle, part):
    done = defectgate("runtime", "--camera", part, "--bundle", plain_bundle)
    header, verdict, counts = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert [line["type"] for line in (header, verdict, counts)] == ["header", "verdict", "counts"]


def test_a_reader_that_goes_away_is_no_traceback(plain_bundle, part):
    line = [sys.executable, "-m", "defectgate", "runtime", "--camera", part]
    with subprocess.Popen(
        [*line, "--bundle", plain_bundle], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


def spoiled_bundle(bundle, folder):
    """A copy with its gate changed, and the manifest made to agree."""
    from runtime.manifest import open_bundle, seal_bundle

    shutil.copytree(bundle, folder)
    (folder / "cpu" / "gate.onnx").write_bytes(b"no network")
    seal_bundle(folder, open_bundle(bundle).manifest)
    return folder


@pytest.fixture
def places(plain_bundle, drawn_set, part, tmp_path):
    """What the command lines below speak of."""
    (tmp_path / "file").write_text("is no folder, no video", encoding="utf-8")
    return {
        "plain": plain_bundle,
        "spoiled": spoiled_bundle(plain_bundle, tmp_path / "spoiled"),
        "set": drawn_set,
        "part": part,
        "file": tmp_path / "file",
        "nowhere": tmp_path / "nowhere",
        "out": tmp_path / "out",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("runtime --bundle {plain} --camera {nowhere}", "SourceError: --camera {nowhere}: no such"),
        ("runtime --bundle {plain} --camera {file}", "SourceError: --camera {file}: is no video"),
        (
            "runtime --bundle {plain} --camera {part} --out /dev/full",
            "DataError: --out /dev/full: cannot be written (No space left on device)",
        ),
        (
            "runtime --bundle {plain} --camera {part} --save-overlays {file}",
            "DataError: --save-overlays {file}: ",
        ),
        ("runtime --bundle {nowhere} --camera {part}", "ManifestError: {nowhere}: no such folder"),
        ("build {nowhere}", "ManifestError: {nowhere}: no such folder"),
        ("lint-onnx {nowhere}", "ModelError: {nowhere}: no such file"),
        ("build {plain}", "EngineError: "),
        (
            "runtime --bundle {plain} --camera {part} --engine tensorrt --engines {nowhere}",
            "EngineError: ",
        ),
        ("runtime --bundle {spoiled} --camera {part}", "EngineError: {spoiled}/cpu/gate.onnx: "),
        ("train --data {nowhere} --out {out}", "DataError: {nowhere}: no such folder"),
        (
            "train --data {set} --out {out} --encoder resnet1",
            "ModelError: --encoder resnet1: timm has no such model; did you mean resnet1",
        ),
        (
            "export --model {nowhere} --out {out}",
            "ModelError: {nowhere}: no such folder",
        ),
        ("export --model {nowhere} --out {part}", "ManifestError: --out {part}: exists"),
        (
            "evaluate --model {nowhere} --data {set}",
            "ModelError: --model {nowhere}: no such folder",
        ),
        ("evaluate --model {plain} --data {nowhere}", "DataError: {nowhere}: no such folder"),
        ("evaluate --model {plain} --data {set} --split dev", "DataError: {set}: split 'dev' is"),
        ("calibrate --model {plain} --data {set} --out {part}", "CalibrationError: --out {part}: "),
        ("synthesize --out {part}", "DataError: {part}: expected a new folder, but it exists"),
        ("synthesize --out {out} --samples 3", "DataError: synthesis: samples is 3"),
        ("synthesize --out {file}/set", "DataError: {file}/set: cannot be written"),
    ],
)
def test_an_error_is_one_line_and_status_1(main, places, line, said):
    status, _, err = main(*line.format(**places).split())
    (message,) = err.splitlines()
    assert message.startswith(said.format(**places))
    assert status == 1
    assert not places["out"].exists()


def test_opencv_adds_nothing_to_our_line(defectgate, plain_bundle, tmp_path):
    done = defectgate("runtime", "--bundle", plain_bundle, "--camera", "/dev/null")
    (message,) = done.stderr.splitlines()
    assert message.startswith("SourceError: --camera /dev/null: is no camera that streams")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = defectgate("runtime", "--bundle", plain_bundle, "--camera", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[1])["verdict"] == "UNKNOWN"


def test_a_place_that_cannot_be_written_is_one_line(main, drawn_set, plain_bundle, tmp_path):
    (tmp_path / "file").write_text("is no folder", encoding="utf-8")
    inside = tmp_path / "file" / "inside"
    for arguments in (
        ("train", "--data", drawn_set, "--out", inside, "--weights", "none"),
        ("evaluate", "--model", plain_bundle, "--data", drawn_set, "--json", inside),
    ):
        status, _, err = main(*arguments)
        (line,) = err.splitlines()
        assert str(inside.parent) in line
        assert status == 1


def test_verdicts_that_are_others_are_refused_with_status_3(
    main, plain_bundle, drawn_set, tmp_path
):
    (tmp_path / "verdicts").write_text("", encoding="utf-8")
    status, _, err = main(
        *("evaluate", "--model", plain_bundle, "--data", drawn_set),
        *("--verdicts", tmp_path / "verdicts"),
    )
    (line,) = err.splitlines()
    assert line.startswith("QualityError: ")
    assert status == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("runtime",),
        ("runtime", "--camera", "0"),
        ("runtime", "--camera", "0", "--bundle", "b", "--frames", "0"),
        ("runtime", "--camera", "0", "--bundle", "b", "--engine", "gpu"),
        ("build",),
        ("build", "b", "--precision", "int4"),
        ("build", "b", "--dla-core", "-1"),
        ("train", "--data", "d", "--out", "o", "--input", "65x64"),
        ("train", "--data", "d", "--out", "o", "--input", "64"),
        ("train", "--data", "d", "--out", "o", "--input", "0x64"),
        ("train", "--data", "d", "--out", "o", "--input", "-64x64"),
        ("train", "--data", "d", "--out", "o", "--fit", "crop"),
        ("train", "--data", "d", "--out", "o", "--precision", "8"),
        ("train", "--data", "d", "--out", "o", "--epochs", "0"),
        ("train", "--data", "d", "--out", "o", "--batch-size", "1"),
        ("train", "--data", "d", "--out", "o", "--learning-rate", "-1"),
        ("train", "--data", "d", "--out", "o", "--learning-rate", "inf"),
        ("train", "--data", "d", "--out", "o", "--fit", "tile", "--scale", "inf"),
        ("train", "--data", "d", "--out", "o", "--seed", "-1"),
        ("synthesize", "--out", "o", "--size", "100x100"),
        (*EXPORT, "--ranges", "widest"),
        (*EXPORT, "--confidence", "2"),
        (*EXPORT, "--mm-per-pixel", "inf"),
        (*EXPORT, "--calibration", "c"),
        (*EXPORT, "--ranges", "auto"),
        (*EXPORT, "--images", "64"),
        (*EXPORT, "--int8", "--calibration", "c", "--ranges", "minmax"),
        (*EXPORT, "--int8", "--calibration", "c", "--images", "8"),
        (*EXPORT, "--int8", "--calibration", "c", "--defect-share", "0"),
        ("calibrate", "--model", "m", "--data", "d", "--out", "o", "--images", "0"),
        ("evaluate", "--model", "m"),
        ("inspect",),
        ("benchmark",),
        ("benchmark", "--bundle", "b", "--seconds", "0"),
        ("benchmark", "compare", "base.json"),
        ("--colour",),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_status_2_and_no_traceback(main, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = main(*arguments)
    assert status == 2
    assert "Usage: " in err
    assert "Error" in err
    assert "Traceback" not in err
    assert out == ""
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_not_installed_is_one_line(drawn_set, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; sys.modules['torch'] = None; import defectgate; defectgate.main()",
            *("train", "--data", drawn_set, "--out", tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    (message,) = done.stderr.splitlines()
    assert message.startswith("torch: this package is not installed; on a workstation install ")
    assert done.returncode == 1


def test_every_error_class_has_its_status():
    statuses = dict.fromkeys(
        (
            DefectgateError,
            DataError,
            ModelError,
            CalibrationError,
            ManifestError,
            EngineError,
            SourceError,
        ),
        1,
    )
    statuses[QualityError] = 3
    assert {error: error.exit_status for error in statuses} == statuses
    assert set(DefectgateError.__subclasses__()) == statuses.keys() - {DefectgateError}


@pytest.mark.parametrize("error", [DefectgateError, *DefectgateError.__subclasses__()])
def test_any_error_becomes_a_line_and_its_status(main, monkeypatch, error):
    def fail(*_):
        raise error("line3/manifest.json: what came; the mend")

    monkeypatch.setattr("runtime.manifest.open_bundle", fail)
    status, out, err = main("runtime", "--camera", "0", "--bundle", "line3")
    assert status == error.exit_status
    assert err == f"{error.__name__}: line3/manifest.json: what came; the mend\n"
    assert out == ""
