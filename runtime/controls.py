"""A camera's controls by name: exposure, gain, and whatever else its driver has."""

import re
from dataclasses import dataclass

from runtime import _native
from runtime.camera_uri import SETTINGS
from runtime.errors import SourceError

# linux/videodev2.h: integers, booleans and menus may be set; not what is disabled or read-only.
INTEGER, BOOLEAN, MENU, INTEGER_MENU = 1, 2, 3, 9
DISABLED, READ_ONLY = 1, 4


@dataclass(frozen=True)
class Control:
    """A number that may be set; `menu` says what its numbers mean, where it is a choice."""

    id: int
    name: str
    least: int
    most: int
    value: int | None
    menu: dict[int, str]


def controls_of(fd: int) -> dict[str, Control]:
    """The controls of the camera that may be set, by name.

    Raises:
        OSError: the device is no camera, or is gone.
    """
    found = {}
    for number, text, kind, flags, least, most, _, _, value, menu in _native.camera_controls(fd):
        if kind in {INTEGER, BOOLEAN, MENU, INTEGER_MENU} and not flags & (DISABLED | READ_ONLY):
            name = plain(text)
            items = menu if kind in {MENU, INTEGER_MENU} else {}
            found[name] = Control(number, name, least, most, value, items)
    return found


def set_controls(fd: int, wanted: dict[str, str], camera: str) -> None:
    """Set the camera's controls in the order of `wanted`; `camera` names it in errors.

    Raises:
        SourceError: no such control, or a value that it does not take.
        OSError: the device is gone, or refuses.
    """
    controls = controls_of(fd) if wanted else {}
    for name, text in wanted.items():
        if name not in controls:
            raise SourceError(
                f"--camera {camera}: no control or setting is named {name!r}; there are "
                f"{', '.join([SETTINGS, *controls])}"
            )
        _native.set_control(fd, controls[name].id, _value(controls[name], text, camera))


def plain(text: str) -> str:
    """A driver's words as a name, as v4l2-ctl makes it: exposure_time_absolute."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _value(control: Control, text: str, camera: str) -> int:
    named = {plain(item): number for number, item in control.menu.items()}
    try:
        value = named[plain(text)] if plain(text) in named else int(text, 0)
    except ValueError:
        value = control.least - 1
    if (value in control.menu) if control.menu else (control.least <= value <= control.most):
        return value
    choices = ", ".join(f"{number} ({item})" for number, item in control.menu.items())
    expected = choices or f"{control.least} to {control.most}"
    raise SourceError(f"--camera {camera}: {control.name} is {text!r}, expected {expected}")
