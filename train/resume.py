"""The state of an unfinished run, so that a stopped training goes on where it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from runtime.errors import ModelError
from runtime.record import write_atomically

STATE = "resume.safetensors"


def save_state(
    out: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    facts: dict[str, Any],
) -> None:
    """Write the modules' weights by name, optimizer moments and `facts` (JSON) as one file."""
    tensors = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    content = save(
        {name: value.contiguous().cpu() for name, value in tensors.items()},
        metadata={"facts": json.dumps(facts)},
    )
    write_atomically(out / STATE, content)


def load_state(
    out: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore what `save_state` wrote; gives its facts.

    Raises:
        ModelError: missing, unreadable, or of another network.
    """
    path = out / STATE
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
        for name, module in modules.items():
            module.load_state_dict(_under(tensors, f"{name}."))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no unfinished run; train without --resume") from error
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"{path}: is damaged, or of another network than the settings ask for; "
            "resume with the settings of that run, or choose another --out"
        ) from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimizer.").items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return facts


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
