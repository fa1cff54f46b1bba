"""The processes of a run, one for each device: launched, given their parts, waited for."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import lightning_fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from rich.console import Console

from runtime.errors import ModelError
from train.precision import has_fast
from train.settings import TrainSettings

console = Console(stderr=True)


def launched(settings: TrainSettings) -> lightning_fabric.Fabric:
    """The launched processes; those that do not validate wait for the one that does.

    Raises:
        ModelError: there are not so many devices.
    """
    several = settings.devices * settings.nodes > 1
    try:
        fabric = lightning_fabric.Fabric(
            accelerator="auto",
            strategy=DDPStrategy(timeout=timedelta(days=1)) if several else "auto",
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    except (MisconfigurationException, ValueError) as error:
        raise ModelError(
            f"--devices {settings.devices} --nodes {settings.nodes}: {error}"
        ) from error
    slow = fabric.device.type == "cpu" and not has_fast(settings.precision)
    if slow and fabric.is_global_zero:
        console.print(
            f"--precision {settings.precision}: this processor has no instructions for it, and "
            "takes many times as long as with 32-true",
            soft_wrap=True,
            markup=False,
        )
    return fabric


@contextmanager
def first_alone(fabric: lightning_fabric.Fabric) -> Iterator[bool]:
    """Gives whether this process is the first; the others wait for it, and with an error end too.

    It alone says why, and has the exit status: launchers kill those beside one that fails.
    """
    try:
        yield fabric.is_global_zero
    except Exception:
        fabric.broadcast(1)
        raise
    if fabric.broadcast(0):
        sys.exit()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` against every other process that would, where its file system can.

    Raises:
        ModelError: another does.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS locks no folder
            _lock(opened, folder)
        yield
    finally:
        os.close(opened)


def _lock(opened: int, folder: Path) -> None:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ModelError(
            f"{folder}: another training writes there; choose another --out"
        ) from error


def share(order: list[int], rank: int, processes: int) -> list[int]:
    """One process's part of an epoch; all are as long, or one would wait for another's step."""
    return order[rank::processes][: len(order) // processes]
