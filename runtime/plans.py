"""TensorRT plans on this device: where they lie, what they belong to, and which one may be loaded.

`ENGINES/<bundle>/<key>-<time>/` holds `gate.plan`, `mask.plan` and their record `plans.json`. A
folder is written under a name that begins with a dot, then renamed, and never changed: it is whole,
or it is not there. The newest that belongs to this device is loaded.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from runtime.errors import EngineError
from runtime.gpu import Device
from runtime.record import read_record, write_record

SCHEMA = 1
RECORD = "plans.json"
NETWORKS = ("gate", "mask")
FRESH_S = 60  # a folder this young may not be locked yet


@dataclass(frozen=True)
class Options:
    """What was asked of `build`; `tiles` is how many the gate takes at once."""

    precision: str
    dla_core: int | None
    tiles: int


@dataclass(frozen=True)
class Candidate:
    """A precision that was tried: its median times, and why it was not kept."""

    precision: str
    gate_ms: float | None = None
    mask_ms: float | None = None
    golden_difference: float | None = None
    refused: str | None = None


@dataclass(frozen=True)
class PlanRecord:
    """The content of `plans.json`: what the plans belong to, and their sha256."""

    schema: int
    bundle: str
    device: Device
    options: Options
    precision: str
    candidates: tuple[Candidate, ...]
    files: dict[str, str]


@dataclass(frozen=True)
class Plans:
    """A pair of plans that may be loaded, and their record."""

    folder: Path
    record: PlanRecord
    gate: bytes
    mask: bytes


def have_plans(engines: Path, bundle: str) -> bool:
    """Whether anything was ever built for this bundle."""
    return bool(_newest_first(engines, bundle))


def find_plans(engines: Path, bundle: str, device: Device, mend: str) -> Plans:
    """The plans that were built last for this bundle and this device, every file checked.

    Raises:
        EngineError: there are none, they belong to another device, or a file was changed; `mend`
            says how to build them.
    """
    others = []
    for folder in _newest_first(engines, bundle):
        try:
            record = read_record(folder / RECORD, PlanRecord, SCHEMA, EngineError, mend)
            if record.device == device and record.bundle == bundle:
                _require_private(folder)
                content = {
                    name: _checked(folder, record, f"{name}.plan", mend) for name in NETWORKS
                }
                return Plans(folder, record, **content)
        except (EngineError, FileNotFoundError):
            if folder.is_dir():
                raise
            return find_plans(engines, bundle, device, mend)  # a build has just replaced it
        others.append(record)
    if others:
        raise EngineError(f"the plan {_differences(others[0], device)}; {mend}")
    raise EngineError(f"{engines}: no TensorRT plan for bundle {bundle[:12]}; {mend}")


def _newest_first(engines: Path, bundle: str) -> list[Path]:
    folders = _bundle_folder(engines, bundle).glob("[!.]*-*/")
    return sorted(folders, key=lambda folder: folder.name.rpartition("-")[2], reverse=True)


def _bundle_folder(engines: Path, bundle: str) -> Path:
    return engines / bundle[:16]


def _differences(record: PlanRecord, device: Device) -> str:
    here = asdict(device)
    built = asdict(record.device)
    return ", ".join(
        f"is for {name} {built[name] or 'none'}, here is {here[name] or 'none'}"
        for name in here
        if here[name] != built[name]
    )


def _require_private(folder: Path) -> None:
    """A plan holds code: nobody else may be able to put one there."""
    for place in (folder, folder.parent, folder.parent.parent):
        if place.stat().st_mode & stat.S_IWOTH:
            raise EngineError(f"{place}: everybody may write plans here; chmod o-w {place}")


def _checked(folder: Path, record: PlanRecord, name: str, mend: str) -> bytes:
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}); {mend}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != record.files.get(name):
        raise EngineError(
            f"{path}: sha256 is {found[:12]}, {RECORD} says "
            f"{record.files.get(name, 'nothing')[:12]}; {mend}"
        )
    return content


def write_plans(engines: Path, record: PlanRecord, files: Mapping[str, bytes]) -> Path:
    """Store `files` with their record; older plans of the same key go.

    Raises:
        EngineError: the folder cannot be written.
    """
    record = replace(
        record, files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    )
    key = _key(record)
    parent = _bundle_folder(engines, record.bundle)
    try:
        with _work_folder(parent) as beside:
            for name, content in files.items():
                (beside / name).write_bytes(content)
            write_record(beside / RECORD, record)
            _sync(beside)
            folder = parent / f"{key}-{_later_than_all(engines, record.bundle):020d}"
            beside.rename(folder)
    except OSError as error:
        raise cannot_write(engines, error) from error
    for older in parent.glob(f"{key}-*/"):
        if older.name < folder.name:
            _remove(older)
    return folder


def _later_than_all(engines: Path, bundle: str) -> int:
    """Nanoseconds: now, or later, where the clock of a board was put back."""
    names = [folder.name.rpartition("-")[2] for folder in _newest_first(engines, bundle)]
    return max([time.time_ns(), *(int(name) + 1 for name in names if name.isdecimal())])


def _remove(folder: Path) -> None:
    """Take it away at once, so that nobody reads half of it."""
    gone = folder.with_name(f".building-{folder.name}")
    with suppress(OSError):  # another process was there first
        folder.rename(gone)
        shutil.rmtree(gone)


def require_writable(engines: Path) -> None:
    """Fail before the long work, not after it.

    Raises:
        EngineError: the folder cannot be made or written.
    """
    try:
        with _work_folder(engines):
            pass
    except OSError as error:
        raise cannot_write(engines, error) from error


def cannot_write(engines: Path, error: OSError) -> EngineError:
    """What to say of a folder that took nothing."""
    return EngineError(
        f"{engines}: cannot be written ({error.strerror}); free space, or choose another --engines"
    )


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """A folder of this process alone, gone at the end unless renamed; those of dead ones go too."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    for left in parent.glob(".building-*/"):
        with _locked(left) as is_dead, suppress(FileNotFoundError):
            if is_dead and time.time() - left.stat().st_mtime > FRESH_S:
                shutil.rmtree(left, ignore_errors=True)
    beside = parent / f".building-{os.getpid()}-{time.time_ns()}"
    beside.mkdir(mode=0o755)
    try:
        with _locked(beside):
            yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which ends with the process; False where another holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # another process was quicker
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Onto the disk before the rename: a power cut leaves it whole, or leaves it out."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _key(record: PlanRecord) -> str:
    parts = msgspec.json.encode([record.bundle, asdict(record.device), asdict(record.options)])
    return hashlib.sha256(parts).hexdigest()[:16]
