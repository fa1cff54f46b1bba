"""Flags of `jetson`."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    bundle: Annotated[
        Path | None, typer.Option(help="What export wrote: does it fit this board?")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="The findings go here too.")] = None,
) -> None:
    """Say what a board has, what it lacks, and the command that mends it; changes nothing.

    Exit status 1 where something keeps an inspection from running.
    """
    from jetson.doctor import Rank, examine, write_findings

    findings = examine(bundle=bundle)
    for finding in findings:
        typer.echo(str(finding))
    if json:
        write_findings(json, findings)
    if any(finding.rank is Rank.FAULT for finding in findings):
        raise typer.Exit(1)
