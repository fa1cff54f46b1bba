"""What holds for every test: no clock for hypothesis, since the machine may be shared.

And what is made once for all: a small trained model and its bundles, in half a minute.
"""

import subprocess
import sys

import pytest
from hypothesis import settings

settings.register_profile("without_clock", deadline=None)
settings.load_profile("without_clock")


@pytest.fixture(scope="session")
def drawn_set(tmp_path_factory):
    """A synthetic dataset of 25 images, 64x64: of the 15 for training 6 are defective."""
    from train.synthesize import SynthesisSettings, synthesize

    root = tmp_path_factory.mktemp("drawn") / "set"
    settings = SynthesisSettings(25, size=(64, 64), images_per_part=1, defective_share=0.4)
    synthesize(root, settings)
    return root


@pytest.fixture(scope="session")
def defectgate():
    """Runs the command in a process of its own; gives its exit status and what it wrote."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "defectgate", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def visible_set(tmp_path_factory):
    """A synthetic dataset that is learned quickly: 120 images, 96x96, with plain defects."""
    from train.synthesize import SynthesisSettings, synthesize

    root = tmp_path_factory.mktemp("visible") / "set"
    plain = SynthesisSettings(
        samples=120, size=(96, 96), seed=1, images_per_part=2, contrast=(7.0, 9.0)
    )
    synthesize(root, plain)
    return root


@pytest.fixture(scope="session")
def trained_run(visible_set, tmp_path_factory):
    """A model of `visible_set` for 64x64 input, trained long enough to be quantised."""
    from train.settings import TrainSettings
    from train.training import train

    run = tmp_path_factory.mktemp("trained") / "run"
    train(
        TrainSettings(visible_set, run, width=64, height=64, epochs=8, learning_rate=2e-3, seed=0)
    )
    return run


@pytest.fixture(scope="session")
def float_bundle(defectgate, trained_run, tmp_path_factory):
    """What `export` makes of `trained_run` without --int8."""
    out = tmp_path_factory.mktemp("float") / "bundle"
    done = defectgate("export", "--model", trained_run, "--out", out, "--mm-per-pixel", "0.05")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def int8_bundle(defectgate, trained_run, tmp_path_factory):
    """What `export --int8` makes of `trained_run` with eight calibration images."""
    out = tmp_path_factory.mktemp("int8") / "bundle"
    done = defectgate("export", "--model", trained_run, "--out", out, "--int8", "--images", "8")
    assert done.returncode == 0, done.stderr
    return out
