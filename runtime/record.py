"""Files that cross a stage: JSON with a schema version and a seal, checked when read."""

import hashlib
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runtime.errors import DataError, DefectgateError

SEAL = "sha256"
Record = TypeVar("Record")


def read_record(
    path: Path, record: type[Record], schema: int, error: type[DefectgateError], mend: str
) -> Record:
    """The `record` in the JSON file `path`; unknown fields are passed over.

    Raises:
        error: missing, no JSON, of another schema version, a wrong field, which it names, or
            changed since it was written.
    """
    try:
        text = path.read_bytes()
        fields = msgspec.json.decode(text, type=dict[str, Any])
        if fields.get("schema") != schema:
            raise error(f"{path}: schema is {fields.get('schema')!r}, expected {schema}; {mend}")
        found = msgspec.json.decode(text, type=record)
    except PermissionError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror}); let this user read it") from fault
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror}); {mend}") from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path}: {fault}; {mend}") from fault
    if fields.pop(SEAL, None) != _seal(fields):
        raise error(f"{path}: was changed since it was written; {mend}")
    return found


def write_record(path: Path, record: object) -> None:
    """Write `record`, a dataclass, as indented JSON with a seal: beside, then renamed."""
    fields = msgspec.json.decode(msgspec.json.encode(record), type=dict[str, Any])
    sealed = msgspec.json.encode({**fields, SEAL: _seal(fields)})
    write_atomically(path, msgspec.json.format(sealed, indent=2) + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then rename: the file is whole or as it was.

    Folders on its way are made.

    Raises:
        OSError: of `path`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        beside.unlink(missing_ok=True)


def require_place(flag: str, path: Path, *, is_folder: bool) -> None:
    """Refuse a place that cannot be written to before the work, not after it.

    Raises:
        DataError: it is no file, or no folder, or this user may not write there.
    """
    if path.exists() and path.is_dir() != is_folder:
        found, wanted = ("file", "folder") if is_folder else ("folder", "file")
        raise DataError(f"{flag} {path}: is a {found}; name a {wanted}, which need not exist")
    places = (path, *path.parents) if is_folder else path.parents
    folder = next(place for place in places if place.exists())
    if not folder.is_dir():
        raise DataError(f"{flag} {path}: {folder} is a file; name a place in a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(
            f"{flag} {path}: this user may not write into {folder}; let it, or name another place"
        )


def _seal(fields: dict[str, Any]) -> str:
    """The sha256 of the fields: against a slip of the hand or of a disk, not against forgery."""
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
