"""Files that cross a stage: JSON with a schema version, checked field by field when read."""

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runtime.errors import DefectgateError

Record = TypeVar("Record")


def read_record(
    path: Path, record: type[Record], schema: int, error: type[DefectgateError], mend: str
) -> Record:
    """The `record` in the JSON file `path`; unknown fields are passed over.

    Raises:
        error: missing, no JSON, of another schema version, or a wrong field, which it names.
    """
    try:
        text = path.read_bytes()
        found = msgspec.json.decode(text, type=dict[str, Any]).get("schema")
        if found != schema:
            raise error(f"{path}: schema is {found!r}, expected {schema}; {mend}")
        return msgspec.json.decode(text, type=record)
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror}); {mend}") from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path}: {fault}; {mend}") from fault


def write_record(path: Path, record: object) -> None:
    """Write `record`, a dataclass, as indented JSON: beside, then renamed."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then rename: the file is whole or as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)
