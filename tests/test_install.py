"""`jetson/install.sh`, with stand-ins for the board's programs, which note how they were called."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "jetson" / "install.sh"
NOTE = 'echo "${0##*/} $*" >> "$CALLS"\n'
PYTHON = (
    NOTE
    + """
if [[ $1 == -c ]]; then
    [[ $2 == *pycuda* ]] && exit "$(grep -q 'pip install --quiet pycuda' "$CALLS"; echo $?)"
    echo lib/python3.10
elif [[ "$1 $2" == "-m venv" ]]; then
    mkdir -p "$3/bin" "$3/lib/python3.10/site-packages"
    cp "$0" "$3/bin/python"
    printf '#!/bin/bash\\necho "defectgate $*" >> "$CALLS"\\n' > "$3/bin/defectgate"
    chmod +x "$3/bin/defectgate"
fi
"""
)


@pytest.fixture
def install(jetson_root, tmp_path):
    """Runs the script on a board with JetPack 6.2; gives exit status, output, and the calls."""
    packages = jetson_root / "usr/lib/python3.10/dist-packages"
    (packages / "tensorrt").mkdir(parents=True)
    (packages / "tensorrt-10.3.0.dist-info").mkdir()
    (jetson_root / "usr/local/cuda/bin").mkdir(parents=True)
    (jetson_root / "usr/local/cuda/bin/nvcc").touch()
    programs, calls = tmp_path / "programs", tmp_path / "calls"
    programs.mkdir()
    calls.touch()
    stubs = {"python3": PYTHON, "dpkg": 'exit "${DPKG:-0}"\n', "apt-get": NOTE, "sudo": '"$@"\n'}
    for name, body in stubs.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}", encoding="utf-8")
        (programs / name).chmod(0o755)

    def run(*arguments, **variables):
        own = {"JETSON_ROOT": str(jetson_root), "CALLS": str(calls)}
        path = f"{programs}:/usr/bin:/bin"
        done = subprocess.run(
            [SCRIPT, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": path, **own, **variables},
        )
        return done, calls.read_text(encoding="utf-8").splitlines()

    return run


def test_it_makes_a_venv_that_sees_tensorrt_alone(install, jetson_root, tmp_path):
    venv = tmp_path / "venv"
    done, calls = install(str(venv))
    assert done.returncode == 0, done.stderr
    site = venv / "lib/python3.10/site-packages"
    assert {path.name for path in site.iterdir()} == {"tensorrt", "tensorrt-10.3.0.dist-info"}
    linked = jetson_root / "usr/lib/python3.10/dist-packages/tensorrt"
    assert (site / "tensorrt").resolve() == linked
    assert f"python -m pip install --quiet {ROOT}" in calls
    assert "python -m pip install --quiet pycuda>=2024.1" in calls
    assert calls[-1] == "defectgate doctor"
    assert not [call for call in calls if call.startswith("apt-get")]


def test_a_second_run_only_brings_defectgate_up_to_date(install, tmp_path):
    venv = str(tmp_path / "venv")
    install(venv)
    done, _ = install(venv)
    assert done.returncode == 0, done.stderr
    assert [line.split(" ", 1)[1] for line in done.stdout.splitlines()] == [
        f"{venv}/bin/python -m pip install --quiet --upgrade pip",
        f"{venv}/bin/python -m pip install --quiet {ROOT}",
        f"{venv}/bin/defectgate doctor",
    ]


def test_links_to_a_jetpack_that_was_replaced_go(install, jetson_root, tmp_path):
    venv = tmp_path / "venv"
    install(str(venv))
    packages = jetson_root / "usr/lib/python3.10/dist-packages"
    (packages / "tensorrt-10.3.0.dist-info").rename(packages / "tensorrt-10.7.0.dist-info")
    done, _ = install(str(venv))
    assert done.returncode == 0, done.stderr
    site = venv / "lib/python3.10/site-packages"
    assert {path.name for path in site.iterdir()} == {"tensorrt", "tensorrt-10.7.0.dist-info"}


def test_packages_that_are_missing_are_installed(install, jetson_root, tmp_path):
    (jetson_root / "usr/local/cuda/bin/nvcc").unlink()
    _, calls = install(str(tmp_path / "venv"), DPKG="1")
    assert "apt-get update" in calls
    assert (
        "apt-get install -y build-essential python3-dev python3-venv v4l-utils nvidia-jetpack"
        in calls
    )


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("# R35 (release), REVISION: 5.0, GCID: 1\n", "L4T 35 is JetPack 5 or older"),
        ("", "not a Jetson"),
    ],
)
def test_what_it_is_not_made_for_is_one_line(install, jetson_root, tmp_path, release, said):
    (jetson_root / "etc/nv_tegra_release").write_text(release, encoding="utf-8")
    done, calls = install(str(tmp_path / "venv"))
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"install.sh: {said}")
    assert (done.returncode, calls) == (1, [])


def test_without_tensorrt_for_this_python_it_stops(install, jetson_root, tmp_path):
    shutil.rmtree(jetson_root / "usr/lib/python3.10/dist-packages/tensorrt")
    done, _ = install(str(tmp_path / "venv"))
    assert done.returncode == 1
    assert "JetPack's TensorRT is missing; sudo apt-get install -y" in done.stderr


@pytest.mark.parametrize("arguments", [("a", "b"), ("--help",), ("--dry-run", "--other")])
def test_wrong_usage_has_status_2(install, arguments):
    done, calls = install(*arguments)
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith("Usage: ")


def test_a_dry_run_does_nothing_and_is_what_the_readme_shows(install, tmp_path):
    venv = tmp_path / "venv"
    done, calls = install("--dry-run", str(venv))
    assert done.returncode == 0, done.stderr
    assert [call for call in calls if "-c import sys" not in call] == []
    assert not venv.exists()
    fresh = done.stdout.replace(str(venv), ".venv").replace(str(ROOT), ".")
    fresh = re.sub(f"{re.escape(str(tmp_path))}/jetson", "", fresh)
    assert fresh in (ROOT / "jetson/README.md").read_text(encoding="utf-8")


def test_the_script_is_clean_and_may_be_run():
    assert os.access(SCRIPT, os.X_OK)
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("needs shellcheck (apt-get install shellcheck)")
    scripts = [ROOT / name for name in ("jetson/install.sh", ".ci/run", ".ci/latency")]
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
