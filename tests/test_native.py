"""The C files without the binding: each check program under each build."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECKS = sorted((ROOT / "tests" / "native").glob("check_*.c"))
FUZZERS = sorted((ROOT / "tests" / "native").glob("fuzz_*.c"))
BINDING_FREE = sorted(
    source
    for source in (ROOT / "runtime" / "native").glob("*.c")
    if "#include <Python.h>" not in source.read_text(encoding="utf-8")
)
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
FLAGS = ["-std=c11", "-O1", "-g", "-ffp-contract=off", "-pthread", *WARNINGS]
SANITIZED = {
    "plain": [],
    "address+undefined": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
FUZZED = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
ARM_GCC, ARM_RUN = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"


@pytest.mark.parametrize("build", SANITIZED)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.stem)
def test_c_keeps_its_claims(check: Path, build: str, tmp_path: Path) -> None:
    compiler = _needed("gcc", "apt-get install gcc")
    program = _build(compiler, check, tmp_path, SANITIZED[build])
    _run([program])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.stem)
def test_c_keeps_its_claims_on_arm(check: Path, tmp_path: Path) -> None:
    packages = "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
    compiler, machine = _needed(ARM_GCC, packages), _needed(ARM_RUN, packages)
    program = _build(compiler, check, tmp_path, ["-static"])
    _run([machine, program])


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda fuzzer: fuzzer.stem)
def test_a_fuzzer_finds_nothing(fuzzer: Path, tmp_path: Path) -> None:
    compiler = _needed("clang", "apt-get install clang libclang-rt-dev")
    program = _build(compiler, fuzzer, tmp_path, FUZZED)
    # Its resident memory counts from the parent's peak, which fork hands on: each request instead.
    limits = ["-runs=4000", "-max_len=4096", "-rss_limit_mb=0", "-malloc_limit_mb=64"]
    _run([program, "-seed=1", *limits, f"-artifact_prefix={tmp_path}/"])


def _needed(program: str, mend: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program} ({mend})")
    return found


def _build(compiler: str, check: Path, folder: Path, flags: list[str]) -> str:
    program = str(folder / check.stem)
    include = f"-I{ROOT / 'runtime' / 'native'}"
    sources = [check, *BINDING_FREE]
    _run([compiler, *FLAGS, *flags, include, *sources, *_wrapped(check), "-lm", "-o", program])
    return program


def _wrapped(check: Path) -> list[str]:
    """For the linker: what the program and its headers put in the place of the system's."""
    names = sorted(set(re.findall(r"\b__wrap_(\w+)\(", _with_headers(check))))
    return [f"-Wl,--wrap={name}" for name in names]


def _with_headers(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    headers = map(source.with_name, re.findall(r'#include "(\w+\.h)"', text))
    return text + "".join(_with_headers(header) for header in headers if header.exists())


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
