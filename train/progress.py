"""A progress bar on standard error, for people alone: a log gets none."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """The same `items`, counted under `title`; `total` is for those that have no length."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = not console.is_terminal
    return iter(track(items, title, total, console=console, transient=True, disable=hidden))
