"""Runs a command line: an error of ours becomes one line and an exit status, never a traceback."""

import os
import sys
from collections.abc import Callable

import typer

from runtime.errors import DefectgateError

# What OpenCV and its FFmpeg say of a bad file or camera, we say ourselves, in one line.
OPENCV_LOGS = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}


def run(app: typer.Typer) -> None:
    """Run `app` on the process's arguments and exit with its status (see `runtime.errors`)."""
    for name, silent in OPENCV_LOGS.items():
        os.environ.setdefault(name, silent)
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
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)


def run_verb(verb: Callable[..., None]) -> None:
    """Run one verb alone: what `python -m <stage>` does."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(verb)
    run(app)
