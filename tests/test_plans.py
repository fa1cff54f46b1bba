"""Plans on the disk: only what belongs here is loaded, and no failure harms what was there."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.engines import engine_of
from runtime.errors import EngineError
from runtime.gpu import Device
from runtime.plans import (
    FRESH_S,
    SCHEMA,
    Candidate,
    Options,
    PlanRecord,
    find_plans,
    have_plans,
    require_writable,
    write_plans,
)
from runtime.settings import EngineKind

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = "b" * 64
MEND = "defectgate build line3 makes one"
HERE = Device("10.3.0", "12.6", "36.4.3", "Orin 8.7 with 8 SM")
FILES = {"gate.plan": b"gate", "mask.plan": b"mask", "gate.layers.json": b"{}"}


def record_of(device=HERE, precision="int8", asked="auto", bundle=BUNDLE):
    return PlanRecord(
        schema=SCHEMA,
        bundle=bundle,
        device=device,
        options=Options(asked, None, 1),
        precision=precision,
        candidates=(Candidate(precision, 1.0, 2.0, 0.0),),
        files={},
    )


def store(engines, files=FILES, **fields):
    return write_plans(engines, record_of(**fields), files)


def find(engines, device=HERE):
    return find_plans(engines, BUNDLE, device, MEND)


def test_what_was_written_is_found(tmp_path):
    folder = store(tmp_path)
    found = find(tmp_path)
    assert (found.folder, found.gate, found.mask) == (folder, b"gate", b"mask")
    assert found.record.precision == "int8"
    assert have_plans(tmp_path, BUNDLE)
    assert not have_plans(tmp_path, "c" * 64)


def test_the_newest_is_loaded_and_the_same_key_is_kept_once(tmp_path):
    first = store(tmp_path)
    other = store(tmp_path, asked="fp16", precision="fp16")
    assert find(tmp_path).record.precision == "fp16"
    again = store(tmp_path)
    assert find(tmp_path).folder == again
    assert not first.exists()
    assert other.exists()


def test_the_newest_is_loaded_though_the_clock_was_put_back(tmp_path, monkeypatch):
    store(tmp_path)
    monkeypatch.setattr("runtime.plans.time.time_ns", lambda: 10**18)
    for precision in ("fp16", "int8"):
        last = store(tmp_path, asked=precision, precision=precision)
        assert find(tmp_path).folder == last


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (
            Device("10.13.3.9", "12.6", "36.4.3", HERE.gpu),
            "the plan is for tensorrt 10.3.0, here is 10.13.3.9; defectgate build line3 makes one",
        ),
        (
            Device("10.3.0", "13.0", "", "Thor 11.0 with 20 SM"),
            "the plan is for cuda 12.6, here is 13.0, is for l4t 36.4.3, here is none, is for gpu ",
        ),
    ],
)
def test_a_plan_of_another_device_says_what_differs(tmp_path, device, said):
    store(tmp_path)
    with pytest.raises(EngineError) as no:
        find(tmp_path, device)
    assert str(no.value).startswith(said)


def test_where_there_is_none_the_command_is_named(tmp_path):
    with pytest.raises(EngineError) as no:
        find(tmp_path / "nowhere")
    assert str(no.value) == (
        f"{tmp_path}/nowhere: no TensorRT plan for bundle {BUNDLE[:12]}; {MEND}"
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: edit(f / "plans.json", "int8", "fp16"), "plans.json: was changed since it was"),
        (lambda f: (f / "plans.json").write_bytes(b"{"), "plans.json: "),
        (lambda f: (f / "plans.json").unlink(), "plans.json: cannot be read (No such file"),
        (lambda f: (f / "gate.plan").write_bytes(b"gat"), "gate.plan: sha256 is "),
        (lambda f: (f / "mask.plan").unlink(), "mask.plan: cannot be read (No such file"),
        (lambda f: f.chmod(0o777), ": everybody may write plans here; chmod o-w "),
        (lambda f: f.parent.parent.chmod(0o777), ": everybody may write plans here; chmod o-w "),
    ],
)
def test_what_was_changed_is_not_loaded_and_a_new_build_mends_it(tmp_path, spoil, said):
    engines = tmp_path / "engines"
    spoil(store(engines))
    with pytest.raises(EngineError) as no:
        find(engines)
    (line,) = str(no.value).splitlines()
    assert said in line
    assert line.endswith(f"{MEND}") or "chmod o-w" in line
    engines.chmod(0o755)
    store(engines)
    assert find(engines).gate == b"gate"


def edit(path, old, new):
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    store(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    write = Path.write_bytes

    def full(path, content):
        if path.name == "mask.plan":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EngineError, match=r"cannot be written \(No space left on device\); free"):
        store(tmp_path)
    monkeypatch.undo()
    assert sorted(tmp_path.rglob("*")) == before
    assert find(tmp_path).gate == b"gate"


def test_a_folder_that_cannot_be_made_is_said_before_the_build(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file" / "engines", Path("/proc/engines")):
        with pytest.raises(EngineError, match=r"cannot be written \(.*or choose another --engines"):
            require_writable(folder)


def test_what_a_dead_build_left_goes_and_a_living_one_stays(tmp_path):
    parent = store(tmp_path).parent
    dead, young = parent / ".building-1-1", parent / ".building-2-2"
    for left in (dead, young):
        left.mkdir()
        (left / "gate.plan").write_bytes(b"half")
    long_ago = time.time() - 2 * FRESH_S
    os.utime(dead, (long_ago, long_ago))
    living = parent / ".building-3-3"
    living.mkdir()
    os.utime(living, (long_ago, long_ago))
    hold = "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDONLY); "
    hold += "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, living], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        store(tmp_path)
        assert not dead.exists()
        assert young.exists()
        assert living.exists()
        holder.stdin.close()
    assert find(tmp_path).gate == b"gate"


def test_two_that_write_at_once_both_succeed(tmp_path):
    writer = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_plans import find, store
for _ in range(50):
    store(Path(sys.argv[1]))
    assert find(Path(sys.argv[1])).gate == b"gate"
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    line = [sys.executable, "-c", writer, tmp_path, ROOT / "tests"]
    environment = {**os.environ, "PYTHONPATH": path}
    both = [
        subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in both:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    (folder,) = find(tmp_path).folder.parent.iterdir()
    assert folder == find(tmp_path).folder


# ---- the commands, in processes of their own ----


@pytest.fixture
def commands(defectgate, libcuda, tmp_path):
    """Runs the command where TensorRT and the driver are the stand-ins."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SIMULATED_")}

    def run(*arguments, release="10.3.0", **changed):
        environment = {
            **clean,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "simulated")]),
            "LD_LIBRARY_PATH": str(libcuda.parent),
            "SIMULATED_TENSORRT": release,
            "SIMULATED_EXIT": "strict",
            "COLUMNS": "200",
            "HOME": str(tmp_path),
            **changed,
        }
        return defectgate(*arguments, env=environment, cwd=ROOT)

    return run


def run_of(commands, bundle, images, *flags, **changed):
    arguments = ("runtime", "--bundle", bundle, "--camera", images, "--frames", "2")
    return commands(*arguments, *flags, **changed)


@pytest.mark.slow
def test_a_build_that_is_killed_loses_nothing_and_the_next_one_works(
    commands, int8_bundle, visible_set, tmp_path
):
    """Build, run, kill a build in the middle, run, build for another release, run."""
    images = visible_set / "images" / "test"
    engines = tmp_path / ".cache" / "defectgate"
    done = commands("build", int8_bundle, "--precision", "int8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{int8_bundle}: plans in {engines}/")
    assert "kept" in done.stderr

    killed = commands("build", int8_bundle, "--precision", "int8", SIMULATED_BUILDER_FAULT="kill")
    assert killed.returncode == -9
    done = run_of(commands, int8_bundle, images)
    header = json.loads(done.stdout.splitlines()[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert header["engine"] == "tensorrt 10.3.0 int8"
    assert header["engine_reason"].startswith(f"plans in {engines}/")
    assert header["self_test"].endswith("golden images got their verdicts")

    sealed, *checked = commands("verify", int8_bundle).stdout.splitlines()
    assert sealed.endswith(" files as they were sealed")
    by_cpu, by_gpu = (line.removeprefix("golden images got their verdicts by ") for line in checked)
    assert by_cpu.startswith("onnxruntime ")
    assert by_gpu.startswith(f"tensorrt 10.3.0 int8, plans in {engines}/")

    newer = run_of(commands, int8_bundle, images, "--engine", "tensorrt", release="10.13.3.9")
    (line,) = newer.stderr.splitlines()
    assert newer.returncode == 1
    assert line.startswith("EngineError: the plan is for tensorrt 10.3.0, here is 10.13.3.9; ")
    assert line.endswith(f"defectgate build {int8_bundle} makes one")
    assert commands("build", int8_bundle, release="10.13.3.9").returncode == 0
    newer = run_of(commands, int8_bundle, images, "--engine", "tensorrt", release="10.13.3.9")
    assert newer.returncode == 0, newer.stderr


@pytest.mark.slow
@pytest.mark.parametrize("gpu", ["Orin,8.7,8,12060", "none"])
def test_an_export_builds_plans_where_there_is_a_gpu(commands, trained_run, tmp_path, gpu):
    out = tmp_path / "bundle"
    flags = ("--int8", "--images", "8", "--model", trained_run, "--out", out)
    done = commands("export", *flags, SIMULATED_GPU=gpu)
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    if gpu == "none":
        assert last.startswith("no TensorRT plans: no GPU answers (")
    else:
        assert last.startswith(f"{out}: plans in {tmp_path}/.cache/defectgate/")


def test_a_builder_that_dies_is_one_line_and_status_1(commands, int8_bundle):
    done = commands("build", int8_bundle, "--precision", "int8", SIMULATED_BUILDER_FAULT="INT8")
    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert line.startswith(f"EngineError: {int8_bundle}/tensorrt/gate.onnx: TensorRT cannot build")
    assert "Traceback" not in done.stderr


def test_other_golden_verdicts_are_refused_before_the_first_frame(
    commands, int8_bundle, visible_set
):
    images = visible_set / "images" / "test"
    assert commands("build", int8_bundle, "--precision", "int8").returncode == 0
    poisoned = {"SIMULATED_POISON": "1.0"}
    verified = commands("verify", int8_bundle, **poisoned)
    assert (verified.returncode, len(verified.stdout.splitlines())) == (3, 2)
    done = run_of(commands, int8_bundle, images, **poisoned)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"QualityError: {int8_bundle}/golden/")
    done = run_of(commands, int8_bundle, images, "--no-self-test", **poisoned)
    header, *_ = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0
    assert "self_test" not in header


def test_auto_takes_onnxruntime_where_nothing_was_built_and_says_so(
    commands, int8_bundle, visible_set, tmp_path
):
    done = run_of(commands, int8_bundle, visible_set / "images" / "test")
    header, *_ = map(json.loads, done.stdout.splitlines())
    assert header["engine"].startswith("onnxruntime ")
    assert header["engine_reason"] == (
        f"no TensorRT plan in {tmp_path}/.cache/defectgate; "
        f"defectgate build {int8_bundle} makes one"
    )


def test_without_a_gpu_a_build_is_one_line(commands, int8_bundle):
    done = commands("build", int8_bundle, SIMULATED_GPU="none")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("EngineError: no GPU answers (cuInit failed: ")


def test_a_build_needs_neither_torch_nor_onnx():
    code = "import json, sys, export.building; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(json.loads(done.stdout))
    assert "export.plan" in loaded
    assert not {"torch", "onnx", "train", "tensorrt", "pycuda"} & loaded


def test_auto_falls_back_when_the_plan_does_not_load_here(simulated, int8_bundle, tmp_path):
    from runtime.gpu import this_device
    from runtime.manifest import open_bundle

    simulated("10.3.0")
    bundle = open_bundle(int8_bundle)
    store(tmp_path, device=this_device(), bundle=bundle.sha256)
    chosen = engine_of(bundle, EngineKind.AUTO, tmp_path)
    assert chosen.engine.name.startswith("onnxruntime ")
    assert chosen.reason.startswith("not TensorRT: gate.plan: TensorRT cannot load it (simulated")
    with pytest.raises(EngineError, match=r"gate.plan: TensorRT cannot load it"):
        engine_of(bundle, EngineKind.TENSORRT, tmp_path)
    assert engine_of(bundle, EngineKind.ONNXRUNTIME, tmp_path).reason == "asked for"
