"""A bundle is opened whole and unchanged, or refused by the name of what is wrong."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.errors import ManifestError
from runtime.manifest import Guarantee, json_schema, open_bundle, seal_bundle
from runtime.preprocess import preprocess_digest
from runtime.record import write_record

KINDS = [
    "model.onnx",
    "cpu/gate.onnx",
    "cpu/mask.onnx",
    "tensorrt/gate.onnx",
    "tensorrt/mask.onnx",
    "calibration.json",
    "calibration.png",
    "scales.json",
    "golden/00.png",
    "golden/verdicts.json",
]
MEND = "copy or export the bundle again"
ABSENT = object()


@pytest.fixture
def copied(int8_bundle, tmp_path):
    """A bundle to spoil, of hard links: its files must be replaced, not written into."""
    return shutil.copytree(int8_bundle, tmp_path / "bundle", copy_function=os.link)


def put(path, content):
    path.unlink()
    path.write_bytes(content)


def manifest_of(bundle):
    """The manifest's fields without their seal."""
    content = json.loads((bundle / "manifest.json").read_bytes())
    del content["sha256"]
    return content


def put_manifest(bundle, content):
    """Write and seal the fields, as another version of export would."""
    write_record(bundle / "manifest.json", content)


def put_field(bundle, path, value):
    content = manifest_of(bundle)
    *outer, last = path.split(".")
    place = content
    for name in outer:
        place = place[name]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    put_manifest(bundle, content)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(bundle):
    with pytest.raises(ManifestError) as caught:
        open_bundle(bundle)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "precision"), [("float_bundle", "float"), ("int8_bundle", "int8")]
)
def test_what_export_wrote_is_accepted(request, name, precision):
    folder = request.getfixturevalue(name)
    bundle = open_bundle(folder)
    assert bundle.root == folder
    assert bundle.sha256 == sha256(folder / "manifest.json")
    assert bundle.manifest.precision == precision
    assert bundle.manifest.input.size == (64, 64)
    assert bundle.manifest.input.channels == 1
    assert bundle.manifest.class_names == ("defect",)
    assert bundle.manifest.preprocess_digest == preprocess_digest()


def test_every_file_is_listed_with_its_sha256(int8_bundle):
    found = {
        path.relative_to(int8_bundle).as_posix(): sha256(path)
        for path in int8_bundle.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert open_bundle(int8_bundle).manifest.files == found
    assert set(KINDS) <= found.keys()


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_byte_is_named_with_the_mend(copied, name):
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    put(copied / name, content)
    message = refusal(copied)
    assert str(copied / name) in message
    assert sha256(copied / name)[:12] in message
    assert manifest_of(copied)["files"][name][:12] in message
    assert MEND in message


@pytest.mark.parametrize("name", ["cpu/gate.onnx", "cpu/mask.onnx"])
def test_a_network_that_is_not_listed_is_named_with_the_mend(copied, name):
    content = manifest_of(copied)
    del content["files"][name]
    put_manifest(copied, content)
    assert f"manifest.json: files does not list {name}; {MEND}" in refusal(copied)


@pytest.mark.parametrize("name", ["cpu/gate.onnx", "golden/00.png"])
def test_a_missing_file_is_named_with_the_mend(copied, name):
    (copied / name).unlink()
    message = refusal(copied)
    assert str(copied / name) in message
    assert MEND in message


def test_a_missing_manifest_is_named_with_the_mend(tmp_path):
    message = refusal(tmp_path)
    assert str(tmp_path / "manifest.json") in message
    assert MEND in message


def test_what_is_no_bundle_at_all_is_said(trained_run, tmp_path):
    assert refusal(tmp_path / "nowhere") == (
        f"{tmp_path / 'nowhere'}: no such folder; name a bundle, which export makes"
    )
    assert refusal(trained_run) == (
        f"{trained_run}: is a training run, no bundle; "
        f"defectgate export --model {trained_run} makes one"
    )


@pytest.mark.parametrize("schema", [2, 0, "1", None, ABSENT])
def test_another_schema_is_refused(copied, schema):
    put_field(copied, "schema", schema)
    message = refusal(copied)
    found = None if schema is ABSENT else schema
    assert f"manifest.json: schema is {found!r}, expected 1; {MEND}" in message


def test_another_preprocessing_is_refused(copied):
    put_field(copied, "preprocess_digest", "0123456789ab" * 5)
    message = refusal(copied)
    assert f"preprocess_digest is 0123456789ab, this defectgate has {preprocess_digest()[:12]}" in (
        message
    )
    assert MEND in message


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("input.width", "64", "$.input.width"),
        ("input.width", 64.5, "$.input.width"),
        ("input.fit", "zoom", "$.input.fit"),
        ("input.height", ABSENT, "`height`"),
        ("class_names", "defect", "$.class_names"),
        ("limits", ABSENT, "`limits`"),
        ("limits.threshold", None, "$.limits.threshold"),
        ("guarantee", {"confidence": 0.95}, "$.guarantee"),
        ("mm_per_pixel", "a tenth", "$.mm_per_pixel"),
        ("provenance.versions", [], "$.provenance.versions"),
        ("files", ABSENT, "`files`"),
        ("files", {"model.onnx": 7}, "$.files"),
    ],
)
def test_a_wrong_field_is_named_with_the_mend(copied, field, value, said):
    put_field(copied, field, value)
    message = refusal(copied)
    assert str(copied / "manifest.json") in message
    assert said in message
    assert MEND in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"schema": 1', b'{"schema": 1, "precision": "\xff"}'],
)
def test_what_is_no_json_object_is_refused(copied, content):
    put(copied / "manifest.json", content)
    message = refusal(copied)
    assert str(copied / "manifest.json") in message
    assert MEND in message


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["limits"].update(threshold=0.123),
        lambda fields: fields.update(colour="of the line"),
        lambda fields: fields.update(sha256="0" * 64),
        lambda fields: fields.pop("sha256"),
    ],
    ids=["threshold", "a field more", "the seal", "no seal"],
)
def test_a_field_changed_by_hand_breaks_the_seal(copied, change):
    fields = json.loads((copied / "manifest.json").read_bytes())
    change(fields)
    put(copied / "manifest.json", json.dumps(fields).encode())
    assert f"manifest.json: was changed since it was written; {MEND}" in refusal(copied)


def test_another_layout_of_the_same_json_is_accepted(copied, int8_bundle):
    fields = json.loads((copied / "manifest.json").read_bytes())
    put(copied / "manifest.json", json.dumps(fields, indent=7).encode())
    assert open_bundle(copied).manifest == open_bundle(int8_bundle).manifest


def test_unknown_fields_are_passed_over(copied, int8_bundle):
    content = manifest_of(copied)
    content["colour"] = {"of": ["the", "line"]}
    content["input"]["bits"] = 8
    content["provenance"]["author"] = None
    put_manifest(copied, content)
    assert open_bundle(copied).manifest == open_bundle(int8_bundle).manifest


def test_another_manifest_is_another_bundle(copied, int8_bundle):
    put_field(copied, "limits.threshold", 0.123)
    changed = open_bundle(copied)
    assert changed.manifest.limits.threshold == 0.123
    assert changed.sha256 != open_bundle(int8_bundle).sha256


def test_a_sealed_manifest_is_read_back_as_it_was(int8_bundle, tmp_path):
    names = ("cpu/gate.onnx", "cpu/mask.onnx", "golden/00.png", "scales.json")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    written = replace(
        open_bundle(int8_bundle).manifest,
        guarantee=Guarantee(0.01, 0.95, 299, 0),
        mm_per_pixel=0.05,
    )
    seal_bundle(tmp_path, written)
    files = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    assert open_bundle(tmp_path).manifest == replace(written, files=files)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("cpu", "golden", "manifest.json", "scales.json")
    ]


def test_the_json_schema_is_that_of_the_manifest():
    path = Path(__file__).parents[1] / "runtime" / "manifest.schema.json"
    assert path.read_bytes() == json_schema(), (
        'write it anew: python -c "from runtime.manifest import json_schema; '
        "print(json_schema().decode(), end='')\" > runtime/manifest.schema.json"
    )
