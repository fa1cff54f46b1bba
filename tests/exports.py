"""Exports asked for in tests, and what they leave."""

import shutil
from dataclasses import replace

import pytest

from calibration.settings import CalibrationSettings
from export.exporting import ExportSettings, export
from export.judging import Promise
from runtime.manifest import open_bundle, seal_bundle


def settings_of(run, out, **changes):
    wanted = ExportSettings(
        model=run,
        out=out,
        data=None,
        int8=False,
        calibration=None,
        calibrate=CalibrationSettings(images=8),
        promise=Promise(0.01, 0.95),
        mm_per_pixel=None,
    )
    return replace(wanted, **changes)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sealed(bundle, out, **changes):
    """A copy of `bundle`, other `limits` or `provenance` in its manifest."""
    copied = shutil.copytree(bundle, out)
    manifest = open_bundle(copied).manifest
    parts = {name: replace(getattr(manifest, name), **part) for name, part in changes.items()}
    seal_bundle(copied, replace(manifest, **parts))
    return copied


def assert_refused(error, said, wanted):
    """`export` raises `error` and leaves nothing in the folder of its bundle."""
    before = sorted(wanted.out.parent.iterdir()) if wanted.out.parent.exists() else []
    with pytest.raises(error) as caught:
        export(wanted)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    after = sorted(wanted.out.parent.iterdir()) if wanted.out.parent.exists() else []
    assert after == before
    return caught.value
