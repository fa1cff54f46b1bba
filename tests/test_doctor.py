"""`doctor`: what it says of a board by the files that Jetsons have, each fault with its mend."""

import builtins
import json
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import jetson.doctor
from jetson.doctor import Rank, examine
from runtime.manifest import open_bundle, seal_bundle

CUDA = '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}, "cuda_nvcc": {"version": "12.6.68"}}'
DPKG = """Package: nvidia-jetpack
Status: install ok installed
Priority: standard
Section: metapackages
Architecture: arm64
Source: nvidia-jetpack (6.2)
Version: 6.2+b77

"""
COMPLETE = {
    "usr/local/cuda/version.json": CUDA,
    "var/lib/dpkg/status": "Package: adduser\nVersion: 3\n\n" + DPKG,
    "usr/lib/python3.10/dist-packages/tensorrt-10.3.0.dist-info/METADATA": "Name: tensorrt\n",
    "dev/video0": "",
    "sys/class/video4linux/video0/name": "HD USB Camera\n",
}


@pytest.fixture
def write(jetson_root, monkeypatch):
    """Writes files of the board; its programs are not found, the rest of JetPack is installed."""
    monkeypatch.setattr("runtime.machine.said_by", lambda *_: None)

    def write_all(files):
        for name, text in files.items():
            path = jetson_root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    write_all(COMPLETE)
    return write_all


@pytest.fixture
def seen(monkeypatch):
    """Makes this Python see TensorRT and pycuda, as the venv of install.sh does."""
    versions = {"tensorrt": "10.3.0", "pycuda": "2024.1.2"}
    monkeypatch.setattr(jetson.doctor, "find_spec", versions.get)
    monkeypatch.setattr(jetson.doctor, "version", versions.__getitem__)


def found(root, about, **options):
    (finding,) = [f for f in examine(root, **options) if f.about == about]
    return finding


def test_a_complete_board_has_no_fault(jetson_root, write, seen):
    del write, seen
    findings = examine(jetson_root)
    assert [f for f in findings if f.rank is Rank.FAULT] == []
    lines = {f.about: f.found for f in findings}
    assert lines["board"] == (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super, L4T 36.4.3"
    )
    assert lines["JetPack"] == "6.2"
    assert lines["CUDA"] == "12.6.11"
    assert lines["TensorRT"] == "10.3.0"
    assert lines["memory"] == "5079 of 7620 MB are free"
    assert lines["thermals"] == "gpu-thermal 48 degrees, the hottest of 2"
    assert lines["camera"] == "/dev/video0: HD USB Camera"


def test_whatever_is_not_ok_on_a_board_says_its_mend(jetson_root, write):
    write({"sys/class/thermal/thermal_zone0/temp": "97000\n", "proc/meminfo": "MemTotal: 1 kB\n"})
    (jetson_root / "usr/local/cuda/version.json").unlink()
    (jetson_root / "dev/video0").unlink()
    for finding in examine(jetson_root):
        assert (finding.rank is Rank.OK) == (finding.mend == ""), finding


@pytest.mark.parametrize(
    ("l4t", "said", "rank"),
    [
        ("R35 (release), REVISION: 5.0", "5, whose Python is too old", Rank.FAULT),
        ("R36 (release), REVISION: 3.0", "6.0 by L4T", Rank.NOTE),
        ("R36 (release), REVISION: 4.7", "6.1 or 6.2 by L4T", Rank.NOTE),
        ("R38 (release), REVISION: 2.0", "7.0 or 7.1 by L4T", Rank.NOTE),
        ("R39 (release), REVISION: 2", "7.2 by L4T", Rank.NOTE),
        ("R50 (release), REVISION: 1.0", "unknown by L4T", Rank.NOTE),
    ],
)
def test_jetpack_is_known_by_l4t_where_its_package_is_missing(jetson_root, write, l4t, said, rank):
    write({"etc/nv_tegra_release": f"# {l4t}, GCID: 1\n", "var/lib/dpkg/status": ""})
    finding = found(jetson_root, "JetPack")
    assert finding.found.startswith(said)
    assert finding.rank is rank


def test_a_package_whose_record_is_gone_is_of_an_unknown_version(
    jetson_root, write, seen, plain_bundle, monkeypatch
):
    del write, seen
    monkeypatch.setattr(jetson.doctor, "version", lambda _: None)  # as of a dangling link
    assert found(jetson_root, "TensorRT").found == "of an unknown version"
    assert found(jetson_root, "bundle", bundle=plain_bundle).rank is Rank.OK


def test_a_library_of_the_system_that_is_missing_says_its_package(
    jetson_root, write, seen, monkeypatch
):
    del write, seen

    def without(name, *rest):
        if name == "simplejpeg":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return imported(name, *rest)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    wheel = found(jetson_root, "wheel")
    assert (wheel.rank, wheel.mend) == (
        Rank.FAULT,
        "sudo apt-get install -y libgl1 libglib2.0-0",
    )


def test_a_tensorrt_that_this_python_does_not_see_needs_the_install_script(jetson_root, write):
    del write
    finding = found(jetson_root, "TensorRT")
    assert (finding.rank, finding.mend) == (Rank.FAULT, "jetson/install.sh")
    assert finding.found == "10.3.0, which this Python does not see"


@pytest.mark.parametrize(
    ("degrees", "rank"), [(79, Rank.OK), (80, Rank.NOTE), (94, Rank.NOTE), (95, Rank.FAULT)]
)
def test_heat_is_a_note_before_it_is_a_fault(jetson_root, write, degrees, rank):
    write({"sys/class/thermal/thermal_zone1/temp": f"{degrees}000\n"})
    assert found(jetson_root, "thermals").rank is rank


def test_the_fastest_power_mode_is_ok_and_another_is_a_note(jetson_root, write, monkeypatch):
    del write
    for mode, rank in (("MAXN_SUPER", Rank.OK), ("15W", Rank.NOTE)):
        monkeypatch.setattr("runtime.machine.said_by", lambda *_, m=mode: f"NV Power Mode: {m}\n1")
        assert found(jetson_root, "power").rank is rank


def test_a_camera_that_may_not_be_opened_is_a_fault(jetson_root, write, monkeypatch):
    del write
    monkeypatch.setattr("os.access", lambda *_: False)
    finding = found(jetson_root, "camera")
    assert finding.rank is Rank.FAULT
    assert finding.mend.startswith("sudo usermod -aG video")


def test_elsewhere_it_says_not_a_jetson_and_finds_no_fault(tmp_path):
    findings = examine(tmp_path)
    assert findings[0].found == f"not a Jetson ({platform.machine()})"
    assert {"JetPack", "power"}.isdisjoint(f.about for f in findings)
    assert [f for f in findings if f.rank is Rank.FAULT] == []


@pytest.mark.parametrize(("flags", "is_said"), [("avx2", True), ("avx2 avx512_vnni", False)])
def test_a_processor_whose_int8_is_slow_is_named(tmp_path, monkeypatch, flags, is_said):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"flags : {flags}\n", encoding="ascii")
    said = [f.found for f in examine(tmp_path) if f.about == "processor"]
    slow = "has no VNNI, so onnxruntime's INT8 is exact but hardly faster than float"
    assert said == [slow] * is_said


def test_a_bundle_fits_or_says_why_not(jetson_root, write, seen, plain_bundle, tmp_path):
    del write, seen
    finding = found(jetson_root, "bundle", bundle=plain_bundle)
    assert finding.found == f"{plain_bundle}, float, for onnxruntime and TensorRT (fp16)"
    missing = found(jetson_root, "bundle", bundle=tmp_path / "none")
    assert missing.rank is Rank.FAULT
    assert missing.found == f"{tmp_path / 'none'}: no such folder"
    assert missing.mend == "name a bundle, which export makes"


@pytest.mark.parametrize(
    ("release", "fits"),
    [
        ("10.3.0", "onnxruntime and TensorRT (fp16)"),
        ("10.13.3.9", "onnxruntime and TensorRT (int8)"),
        (None, "onnxruntime"),
    ],
)
def test_a_bundle_fits_what_build_can_make_of_it(
    jetson_root, write, monkeypatch, plain_bundle, tmp_path, release, fits
):
    """Of one with the typed rendering alone, which only newer releases take."""
    del write

    def version(package):
        if release is None:
            raise PackageNotFoundError(package)
        return release

    monkeypatch.setattr(jetson.doctor, "version", version)
    bundle = shutil.copytree(plain_bundle, tmp_path / "bundle")
    (bundle / "tensorrt/typed").mkdir(parents=True)
    shutil.copyfile(bundle / "cpu/gate.onnx", bundle / "tensorrt/typed/gate.onnx")
    seal_bundle(bundle, open_bundle(plain_bundle).manifest)
    finding = found(jetson_root, "bundle", bundle=bundle)
    assert finding.found == f"{bundle}, float, for {fits}"


def test_the_command_gives_lines_and_json(defectgate, plain_bundle, tmp_path):
    out = tmp_path / "doctor.json"
    done = defectgate("doctor", "--bundle", plain_bundle, "--json", out)
    assert (done.returncode, done.stderr) == (0, "")
    findings = json.loads(out.read_bytes())["findings"]
    assert len(done.stdout.splitlines()) == len(findings)
    python = next(f for f in findings if f["about"] == "Python")
    assert python["found"] == f"{platform.python_version()} in {sys.prefix}"
    broken = defectgate("doctor", "--bundle", tmp_path)
    assert broken.returncode == 1
    assert "fault bundle" in broken.stdout


def test_the_folder_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "jetson", "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m jetson" in done.stdout
