"""A bundle's `manifest.json`: what the networks take, where the verdict lies, and what is proven.

Unknown fields are passed over, so a newer export of the same schema can be read.
"""

import hashlib
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from runtime.errors import ManifestError
from runtime.preprocess import preprocess_digest
from runtime.record import SEAL, read_record, write_record
from runtime.spec import InputSpec, Limits

SCHEMA = 1
MANIFEST = "manifest.json"
MEND = "copy or export the bundle again"
Metrics = dict[str, float | int | None]


@dataclass(frozen=True)
class Guarantee:
    """With `confidence`, no more than `max_miss_rate` of defective objects are missed.

    An object is missed where one of its defective samples scores below the threshold. Proven on
    `n_objects` that chose nothing, at most `n_missed` of which were missed, with the `rendering`
    that is named, or with "each", taken by itself.
    """

    max_miss_rate: float
    confidence: float
    n_objects: int
    n_missed: int
    rendering: str = "cpu"


@dataclass(frozen=True)
class Work:
    """What one tile costs a network: multiply-adds, and bytes that pass through memory."""

    multiply_adds: int
    bytes: int


@dataclass(frozen=True)
class Provenance:
    """Where a bundle comes from."""

    data_digest: str
    calibration_digest: str
    model_sha256: str
    settings: dict[str, str | int | float | bool]
    versions: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`; `files` maps every other file of the bundle to its sha256.

    `work` is that of the `gate` and of the `mask` head; older bundles do not say it. The fields are
    in `manifest.schema.json` too, as JSON Schema.
    """

    schema: int
    precision: str
    input: InputSpec
    class_names: tuple[str, ...]
    limits: Limits
    guarantee: Guarantee | None
    mm_per_pixel: float | None
    preprocess_digest: str
    metrics: dict[str, Metrics]
    provenance: Provenance
    files: dict[str, str]
    work: dict[str, Work] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its folder, its manifest, and the sha256 that names it."""

    root: Path
    manifest: Manifest
    sha256: str


def open_bundle(root: Path) -> Bundle:
    """The bundle in the folder `root`, every file checked against the manifest.

    Raises:
        ManifestError: missing, of another schema or preprocessing, or a file that was changed.
    """
    path = root / MANIFEST
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder; name a bundle, which export makes")
    if not path.exists() and (root / "model.json").exists():
        raise ManifestError(
            f"{root}: is a training run, no bundle; defectgate export --model "
            f"{shlex.quote(str(root))} makes one"
        )
    manifest = read_record(path, Manifest, SCHEMA, ManifestError, MEND)
    if manifest.preprocess_digest != preprocess_digest():
        raise ManifestError(
            f"{path}: preprocess_digest is {manifest.preprocess_digest[:12]}, this defectgate "
            f"has {preprocess_digest()[:12]}: the networks would see other pixels; {MEND}"
        )
    for name in ("cpu/gate.onnx", "cpu/mask.onnx"):
        if name not in manifest.files:
            raise ManifestError(f"{path}: files does not list {name}; {MEND}")
    for name, expected in manifest.files.items():
        found = _sha256(root / name)
        if found != expected:
            raise ManifestError(
                f"{root / name}: sha256 is {found[:12]}, {MANIFEST} says {expected[:12]}; "
                f"the file was changed: {MEND}"
            )
    return Bundle(root, manifest, _sha256(path))


def json_schema() -> bytes:
    """The content of `manifest.schema.json`."""
    schema = msgspec.json.schema(Manifest)
    fields = schema["$defs"]["Manifest"]
    fields["properties"][SEAL] = {"type": "string"}
    fields["required"].append(SEAL)
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def seal_bundle(root: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into `root`, with the sha256 of every file that lies there."""
    files = {
        path.relative_to(root).as_posix(): _sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_record(root / MANIFEST, replace(manifest, files=files))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); {MEND}") from error
