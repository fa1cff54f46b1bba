"""Runs a command line: an error of ours becomes one line and an exit status, never a traceback."""

import sys
from collections.abc import Callable

import typer

from runtime.errors import DefectgateError


def run(app: typer.Typer) -> None:
    """Run `app` on the process's arguments and exit with its status (see `runtime.errors`)."""
    try:
        app()
    except DefectgateError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_status)


def run_verb(verb: Callable[..., None]) -> None:
    """Run one verb alone: what `python -m <stage>` does."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(verb)
    run(app)
