"""What a user may not read or write is said in one line, before the work, and nothing is left."""

import os
import shutil
import subprocess
import sys

import pytest

LOCKED = 0o000


@pytest.fixture(scope="module")
def as_user():
    """What goes before a command to run it without root's rights."""
    if os.geteuid():
        return []
    without = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    if not shutil.which("setpriv") or subprocess.run([*without, "true"], check=False).returncode:
        pytest.skip("needs a user, or a root that setpriv can take the rights of")
    return without


@pytest.fixture
def places(drawn_set, plain_bundle, tmp_path):
    """What the command lines speak of: a set, a bundle, and places without rights."""
    for name in ("set", "locked set"):
        for kind in ("images", "masks"):
            shutil.copytree(drawn_set / kind, tmp_path / name / kind)
    shutil.copytree(plain_bundle, tmp_path / "bundle")
    shutil.copytree(plain_bundle, tmp_path / "locked bundle")
    (tmp_path / "video.avi").write_bytes(b"frames")
    files = ("locked set/masks/train", "locked bundle/manifest.json", "video.avi")
    rights = dict.fromkeys(files, LOCKED)
    for name in ("locked", "read only"):
        (tmp_path / name).mkdir()
    rights |= {"locked": LOCKED, "read only": 0o555}
    for name, mode in rights.items():
        (tmp_path / name).chmod(mode)
    yield tmp_path
    for name in rights:
        (tmp_path / name).chmod(0o755)


READ = "cannot be read (Permission denied)"
LINES = {
    "inspect-data --data locked_set": f"DataError: locked set/masks/train: {READ}, so what is",
    "inspect-data --data locked": f"DataError: locked: {READ}, so what is there would be passed",
    "inspect-data --data set --json {ro}/x": "DataError: --json {ro}/x: this user may not write",
    "inspect-data --data set --sheet {ro}/x": "DataError: --sheet {ro}/x: this user may not write",
    "train --data set --out {ro}/x/y": "DataError: --out {ro}/x/y: this user may not write into",
    "train --data set --out {ro}": "DataError: --out {ro}: this user may not write into {ro}; let",
    "evaluate --model bundle --data set --report {ro}/x": "DataError: --report {ro}/x: this user",
    "export --model run --out {ro}/x": "DataError: --out {ro}/x: this user may not write into",
    "runtime --camera locked --bundle bundle": f"SourceError: --camera locked: {READ}; let this",
    "runtime --camera video.avi --bundle bundle": "SourceError: --camera video.avi: this user may",
    "runtime --camera locked/a.png --bundle bundle": "PermissionError: locked/a.png: Permission",
    "record --camera set/images/test --out {ro}/x": "DataError: {ro}/x: cannot be made (Permission",
    "inspect locked_bundle": f"ManifestError: locked bundle/manifest.json: {READ}; let this user",
}


@pytest.mark.parametrize("line", LINES)
def test_what_a_user_may_not_do_is_one_line(as_user, places, line):
    arguments = [part.format(ro="read only").replace("_", " ") for part in line.split()]
    done = subprocess.run(
        [*as_user, sys.executable, "-m", "defectgate", *arguments],
        cwd=places,
        capture_output=True,
        text=True,
        check=False,
    )
    (said,) = done.stderr.splitlines()
    assert said.startswith(LINES[line].format(ro="read only"))
    assert done.returncode == 1
    assert not list((places / "read only").iterdir())
