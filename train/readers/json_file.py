"""JSON files of labelling tools, checked against the fields that a layout needs."""

from codecs import BOM_UTF8  # which editors of Windows write
from pathlib import Path
from typing import TypeVar

import msgspec

from runtime.errors import DataError

Fields = TypeVar("Fields")


def mentions(path: Path, keys: tuple[str, ...]) -> bool:
    """Whether all of `keys` stand in the file: enough to tell it from other JSON, unparsed."""
    text = path.read_bytes()
    return all(f'"{key}"'.encode() in text for key in keys)


def read_json(path: Path, fields: type[Fields]) -> Fields:
    """The `fields` in the JSON file `path`; others are passed over.

    Raises:
        DataError: no JSON, or a wrong field, which it names.
    """
    try:
        return msgspec.json.decode(path.read_bytes().removeprefix(BOM_UTF8), type=fields)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: {fault}; export it anew, or take the file out") from fault
