"""Runs a command line: an error of ours becomes one line and an exit status, never a traceback."""

import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper

import typer

from runtime.errors import DefectgateError

# What OpenCV and its FFmpeg say of a bad file or camera, we say ourselves, in one line.
OPENCV_LOGS = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}


def run(app: typer.Typer) -> None:
    """Run `app` on the process's arguments and exit with its status (see `runtime.errors`)."""
    for name, silent in OPENCV_LOGS.items():
        os.environ.setdefault(name, silent)
    if isinstance(sys.stdout, TextIOWrapper):  # JSON is UTF-8, whatever the locale
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)  # runtime and record set their own
    try:
        app()
    except DefectgateError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_status)
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"{error.name}: this package is not installed; on a workstation install "
            'defectgate[export], as in pip install ".[export]"\n'
        )
        sys.exit(1)
    except ImportError as error:  # a library of the system
        sys.stderr.write(f"{error}; defectgate doctor says what to install\n")
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        sys.stderr.write(f"{type(error).__name__}: {_told(error)}\n")
        sys.exit(1)


def _told(error: OSError) -> str:
    if error.filename is None:
        return str(error)
    return (
        f"{error.filename}: {error.strerror}; give this user access and room there, "
        "or name another place"
    )


def _end(number: int, _frame: object) -> None:
    """Ends as an error does, so that nothing half made is left; a second signal ends at once."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)


def run_verb(verb: Callable[..., None]) -> None:
    """Run one verb alone: what `python -m <stage>` does."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(verb)
    run(app)
