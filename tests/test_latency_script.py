"""`.ci/latency` and the workflow that runs it: every step here, with onnxruntime."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.comparison import read_report
from runtime.golden import Golden, GoldenVerdict
from runtime.manifest import open_bundle, seal_bundle
from runtime.record import write_record
from runtime.verdict import Answer

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def golden_bundle(plain_bundle, tmp_path):
    """The plain bundle with a dark and a bright golden image."""
    bundle = shutil.copytree(plain_bundle, tmp_path / "bundle")
    manifest = open_bundle(bundle).manifest
    (bundle / "golden").mkdir()
    for name, light in (("0.png", 0), ("1.png", 255)):
        cv2.imwrite(str(bundle / "golden" / name), np.full((64, 64), light, np.uint8))
    images = (GoldenVerdict("0.png", Answer.OK, 0.0), GoldenVerdict("1.png", Answer.NG, 1.0))
    write_record(bundle / "golden/verdicts.json", Golden(1, images))
    seal_bundle(bundle, manifest)
    return bundle


@pytest.fixture
def latency(golden_bundle, tmp_path):
    """Runs the script on the bundle's golden images, without the install, for a short time."""
    command = tmp_path / "defectgate"
    command.write_text(
        '#!/bin/sh\n[ "$2" = --bundle ] && [ "$1" = benchmark ] && set -- "$@" --seconds 0.1\n'
        f'cd "{ROOT}" && exec "{sys.executable}" -m defectgate "$@"\n',
        encoding="utf-8",
    )
    command.chmod(0o755)
    own = {"DEFECTGATE": str(command), "BASELINE": str(tmp_path / "state/latency.json")}

    script = [ROOT / ".ci/latency", golden_bundle, golden_bundle / "golden", tmp_path / "out"]

    def run(*arguments, **variables):
        return subprocess.run(
            [*script, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **own, **variables},
        )

    return run


def test_the_first_run_keeps_the_baseline_and_the_next_compares(latency, tmp_path):
    baseline, out, summary = (tmp_path / name for name in ("state/latency.json", "out", "summary"))
    first = latency(GITHUB_STEP_SUMMARY=str(summary))
    assert first.returncode == 0, first.stderr
    assert read_report(baseline) == read_report(out / "report.json")
    assert "| gate |" in summary.read_text(encoding="utf-8")
    assert {path.name for path in out.iterdir()} == {
        "doctor.json",
        "doctor.txt",
        "report.json",
        "latency.svg",
        "summary.md",
    }
    kept = read_report(baseline)
    write_record(baseline, replace(kept, machine=replace(kept.machine, model="another board")))
    second = latency()
    assert second.returncode == 1
    said = (out / "summary.md").read_text(encoding="utf-8")
    assert "machine.model is" in said
    assert "--accept keeps a new one" in said
    assert read_report(baseline).machine.model == "another board"
    accepted = latency("--accept")
    assert accepted.returncode == 0, accepted.stderr
    assert read_report(baseline).machine == kept.machine


def test_a_slowdown_is_believed_when_it_is_measured_twice(tmp_path):
    """With a stand-in that is slower once, then always."""
    command = tmp_path / "defectgate"
    command.write_text(
        '#!/bin/sh\n[ "$1 $2" = "benchmark compare" ] || exit 0\n'
        f'echo compared >> "{tmp_path}/calls"\n'
        f'[ "$(wc -l < "{tmp_path}/calls")" -eq 2 ] || exit 3\n',
        encoding="utf-8",
    )
    command.chmod(0o755)
    (tmp_path / "latency.json").touch()
    own = {"DEFECTGATE": str(command), "BASELINE": str(tmp_path / "latency.json")}
    script = [ROOT / ".ci/latency", "bundle", "frames", tmp_path / "out"]
    for status, calls in ((0, 2), (3, 4)):
        done = subprocess.run(script, capture_output=True, check=False, env=os.environ | own)
        assert done.returncode == status
        assert len((tmp_path / "calls").read_text(encoding="utf-8").splitlines()) == calls


def test_a_bundle_that_is_not_there_ends_it_before_the_benchmark(latency, tmp_path, golden_bundle):
    (golden_bundle / "manifest.json").unlink()
    done = latency()
    assert done.returncode == 1
    assert "fault bundle" in done.stdout
    assert not (tmp_path / "state/latency.json").exists()


@pytest.mark.parametrize("arguments", [(), ("b", "f"), ("b", "f", "o", "--other")])
def test_wrong_usage_has_status_2(arguments):
    done = subprocess.run(
        [ROOT / ".ci/latency", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ")


def test_the_workflow_runs_the_script_on_both_machines_and_never_for_a_stranger():
    text = (ROOT / ".github/workflows/latency.yml").read_text(encoding="utf-8")
    assert "run: .ci/latency " in text
    assert "[self-hosted, linux, ARM64, jetson]" in text
    assert "[self-hosted, linux, X64, gpu]" in text
    assert "pull_request" not in text
