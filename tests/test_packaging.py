"""The wheel holds the stages, the command and the C extension, and nothing else."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEFT_BY_A_BUILD = ("build", "dist", "*.egg-info", "runtime/*.so", "runtime/native/*.o")


@pytest.fixture(scope="module")
def before():
    """What lay in the checkout before the build."""
    return left_by_builds()


@pytest.fixture(scope="module")
def wheel(before, tmp_path_factory):
    """The wheel of a copy of the files that git knows or would add, so the checkout stays clean."""
    del before
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, to know which files are the product")
    copy = tmp_path_factory.mktemp("packaging") / "copy"
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    out = copy.parent / "dist"
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    with zipfile.ZipFile(built) as archive:
        yield archive


def left_by_builds():
    return {path for pattern in LEFT_BY_A_BUILD for path in ROOT.glob(pattern)}


def git(*arguments):
    return subprocess.run(
        ["git", *arguments],  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def metadata(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_top_level_names_are_the_stages_and_the_command(wheel):
    found = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in found if not name.endswith(".dist-info")} == {
        "defectgate.py",
        "train",
        "calibration",
        "export",
        "runtime",
        "jetson",
    }


def test_every_python_file_of_the_stages_is_in_it(wheel):
    tracked = git("ls-files", "--cached", "--others", "--exclude-standard", "*.py").split()
    product = {name for name in tracked if not name.startswith("tests/")}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == product


def test_the_c_extension_is_built_and_its_sources_stay_out(wheel):
    names = wheel.namelist()
    (extension,) = [name for name in names if name.endswith(".so")]
    assert extension.startswith("runtime/_native.")
    assert not [name for name in names if name.endswith((".c", ".h", ".o"))]
    assert {"runtime/py.typed", "runtime/_native.pyi"} <= set(names)


def test_the_extension_exports_its_initialiser_alone(wheel, tmp_path):
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm (apt-get install binutils)")
    (extension,) = [name for name in wheel.namelist() if name.endswith(".so")]
    path = wheel.extract(extension, tmp_path)
    listed = subprocess.run(
        [nm, "--dynamic", "--defined-only", path], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[-1] for line in listed.splitlines()] == ["PyInit__native"]


def test_the_metadata_says_version_python_and_licence(wheel):
    about = metadata(wheel)
    assert about["Name"] == "defectgate"
    assert about["Version"] == "0.1.0"
    assert about["Requires-Python"] == ">=3.10"
    assert about["License-Expression"] == "Apache-2.0"


def test_the_device_needs_no_torch_and_no_onnx(wheel):
    needed = [r.split(";")[0] for r in metadata(wheel).get_all("Requires-Dist") if "extra" not in r]
    names = {requirement.split(">")[0].strip() for requirement in needed}
    assert names == {
        "msgspec",
        "numpy",
        "onnxruntime",
        "opencv-python",
        "rich",
        "simplejpeg",
        "typer",
    }


def test_the_command_is_installed(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    assert "defectgate = defectgate:main" in wheel.read(name).decode()


def test_building_left_nothing_in_the_checkout(wheel, before):
    del wheel
    assert left_by_builds() == before
