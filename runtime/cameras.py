"""Which cameras there are, what they give, and how to set each for inspection."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runtime import _native
from runtime.camera import device, fault_of
from runtime.controls import Control, controls_of
from runtime.fourcc import CODES, IN_COLOUR, MJPEG, NAMES, text_of

RATE_LEAST = 10.0  # frames a second; below, parts pass unseen


@dataclass(frozen=True)
class Mode:
    """A way to set a camera whose frames can be judged; 0 where its driver does not say."""

    format: str
    width: int
    height: int
    fps: float


@dataclass(frozen=True)
class Listed:
    """A camera. `best` is what to give to --camera, and `reason` why that, or why there is none."""

    path: str
    card: str
    driver: str
    bus: str
    modes: Sequence[Mode]
    not_judged: Sequence[str]
    controls: Sequence[Control]
    best: str | None
    reason: str


def cameras(folder: Path = Path("/dev")) -> list[Listed]:
    """The V4L2 devices that stream frames in, by their numbers."""
    nodes = folder.glob("video[0-9]*")
    paths = sorted(nodes, key=lambda node: (len(node.name), node.name))
    return [listed for path in paths if (listed := _listed(path))]


def choose(modes: Sequence[Mode]) -> tuple[Mode, str] | None:
    """The mode that is best for inspection, and why; None where there are none.

    Uncompressed, then fast enough, then large, then fast, then by the order of runtime/fourcc.py.
    """
    if not modes:
        return None
    order = {name: place for place, name in enumerate(CODES)}

    def merit(mode: Mode) -> tuple[float, ...]:
        is_fast = mode.fps >= RATE_LEAST or not mode.fps
        size = mode.width * mode.height
        speed = mode.fps if not is_fast else 0
        return mode.format != MJPEG, is_fast, speed, size, mode.fps, -order[mode.format]

    best = max(modes, key=merit)
    made = "compressed, there is nothing else" if best.format == MJPEG else "uncompressed"
    colour = "in colour" if best.format in IN_COLOUR else "grey"
    if not best.fps:
        size = "the largest size"
    elif best.fps >= RATE_LEAST:
        size = f"the largest size at {RATE_LEAST:g}/s or more"
    else:
        size = f"the fastest, none reaches {RATE_LEAST:g}/s"
    return best, f"{made}, {colour}, {size}"


def table_of(listed: Sequence[Listed]) -> RenderableType:
    """What people read: a table for each camera, formats of the same sizes in one row."""
    if not listed:
        return Text("no camera: there is no V4L2 device in /dev; plug one in, or load its driver")
    return Group(*(part for camera in listed for part in _parts(camera)))


def _listed(path: Path) -> Listed | None:
    try:
        with device(path) as fd:
            card, driver, bus = _native.camera_about(fd)
            offers = _native.camera_formats(fd)
            controls = tuple(controls_of(fd).values())
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL}:  # an output, a radio, a node of metadata
            return None
        return Listed(str(path), "", "", "", (), (), (), None, fault_of(error))
    modes = [mode for code, _, sizes in offers if code in NAMES for mode in _modes(code, sizes)]
    not_judged = [text_of(code) for code, _, _ in offers if code not in NAMES]
    best, reason = _best(path, modes)
    return Listed(str(path), card, driver, bus, modes, not_judged, controls, best, reason)


def _best(path: Path, modes: Sequence[Mode]) -> tuple[str | None, str]:
    chosen = choose(modes)
    if chosen is None:
        return None, f"gives none of {', '.join(CODES)}"
    mode, reason = chosen
    settings = {"format": mode.format, "width": mode.width, "height": mode.height, "fps": mode.fps}
    asked = "&".join(
        f"{name}={value if isinstance(value, str) else format(value, 'g')}"
        for name, value in settings.items()
        if value
    )
    return f"{path}?{asked}", reason


def _modes(code: int, sizes: "_native._Sizes") -> Iterator[Mode]:
    """Each size at its highest rate."""
    for _, _, width, height, rates in sizes:
        yield Mode(
            NAMES[code], width, height, round(max((most for _, most in rates), default=0), 3)
        )
    if not sizes:
        yield Mode(NAMES[code], 0, 0, 0.0)


def _parts(camera: Listed) -> Iterator[RenderableType]:
    title = f"{camera.path}: {camera.card} ({camera.driver}, {camera.bus})"
    table = Table(title=Text(title), title_justify="left")  # no markup: a card may hold brackets
    table.add_column("format")
    table.add_column("width x height, frames a second at most")
    for formats, sizes in _rows(camera.modes):
        table.add_row(", ".join(formats), sizes)
    if camera.not_judged:
        table.add_row(Text(", ".join(camera.not_judged)), "cannot be judged", style="dim")
    yield table
    if camera.controls:
        shown = ", ".join(f"{c.name} {c.value} ({c.least} to {c.most})" for c in camera.controls)
        yield Text(f"controls: {shown}")
    best = f"--camera '{camera.best}'\n      " if camera.best else ""
    yield Text(f"best: {best}{camera.reason}\n")


def _rows(modes: Sequence[Mode]) -> list[tuple[list[str], str]]:
    sizes: dict[str, list[str]] = {}
    for mode in modes:
        size = f"{mode.width}x{mode.height}" if mode.width else "as it is set"
        sizes.setdefault(mode.format, []).append(f"{size} {mode.fps:g}" if mode.fps else size)
    rows: dict[str, list[str]] = {}
    for name, texts in sizes.items():
        rows.setdefault(", ".join(texts), []).append(name)
    return [(formats, text) for text, formats in rows.items()]
