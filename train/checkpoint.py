"""A trained model as files: `model.safetensors` for the weights, `model.json` for the rest."""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from runtime.errors import ModelError
from runtime.manifest import MANIFEST
from runtime.preprocess import preprocess_digest
from runtime.record import read_record, write_atomically, write_record
from runtime.spec import InputSpec, Limits
from train.encoder import DEFAULT_ENCODER
from train.network import JointNetwork, NetworkConfig
from train.resume import STATE

SCHEMA = 1
WEIGHTS = "model.safetensors"
RECORD = "model.json"


@dataclass(frozen=True)
class ModelRecord:
    """All that is known of a trained model but its weights."""

    schema: int
    network: NetworkConfig
    input: InputSpec
    class_names: tuple[str, ...]
    limits: Limits
    data: str
    data_digest: str
    preprocess_digest: str
    weights_sha256: str
    settings: dict[str, str | int | float | bool]
    metrics: dict[str, float | int | None]
    versions: dict[str, str]


def new_network(config: NetworkConfig) -> JointNetwork:
    """The network that `config` describes, not trained yet.

    Raises:
        ModelError: the encoder is unknown, or gives features of other sizes.
    """
    network = JointNetwork(
        config.encoder, config.channels, config.classes, classifier=config.classifier
    )
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 64, 64, config.channels))
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"--encoder {config.encoder}: its features do not fit a decoder that doubles its size "
            f"at each step; use one such as {DEFAULT_ENCODER} or resnet18"
        ) from error
    return network


def save_model(out: Path, network: JointNetwork, record: ModelRecord) -> ModelRecord:
    """Write both files into the folder `out`, the record last; gives it with their sha256."""
    weights = save({name: t.contiguous().cpu() for name, t in network.state_dict().items()})
    signed = replace(record, weights_sha256=hashlib.sha256(weights).hexdigest())
    write_atomically(out / WEIGHTS, weights)
    write_record(out / RECORD, signed)
    return signed


def load_record(run: Path) -> ModelRecord:
    """The record of the training run in the folder `run`.

    Raises:
        ModelError: missing, of another schema or preprocessing, or a wrong field.
    """
    if not run.is_dir():
        raise ModelError(f"{run}: no such folder; name a training run")
    if not (run / RECORD).exists() and (run / MANIFEST).exists():
        raise ModelError(f"{run}: is a bundle; name the training run that it was made from")
    if not (run / RECORD).exists() and (run / STATE).exists():
        raise ModelError(
            f"{run}: holds an unfinished run; the command that began it goes on with --resume"
        )
    record = read_record(run / RECORD, ModelRecord, SCHEMA, ModelError, "train the model again")
    if record.preprocess_digest != preprocess_digest():
        raise ModelError(
            f"{run / RECORD}: preprocess_digest is {record.preprocess_digest[:12]}, this "
            f"defectgate has {preprocess_digest()[:12]}: the model was taught other pixels; "
            "train it again, or use the defectgate that it was trained with"
        )
    return record


def load_model(run: Path) -> tuple[JointNetwork, ModelRecord]:
    """The trained network, in evaluation mode on the CPU, and its record.

    Raises:
        ModelError: a file is missing, changed, or of another schema.
    """
    record = load_record(run)
    weights = run / WEIGHTS
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise ModelError(f"{weights}: cannot be read ({error.strerror}); train again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != record.weights_sha256:
        raise ModelError(
            f"{weights}: sha256 is {found[:12]}, {RECORD} says {record.weights_sha256[:12]}; "
            "the file was changed, restore it or train again"
        )
    network = new_network(record.network)
    try:
        network.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{weights}: holds another network than {RECORD} describes; train again"
        ) from error
    return network.eval(), record


def settings_record(settings: object) -> dict[str, str | int | float | bool]:
    """Settings as they are saved: paths and choices as text."""
    plain = asdict(settings)  # type: ignore[call-overload]
    return {
        name: value
        if isinstance(value, bool | int | float)
        else str(getattr(value, "value", value))
        for name, value in plain.items()
    }
