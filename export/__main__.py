"""`python -m export`: the same as `defectgate export`."""

from export.cli import export
from runtime.command import run_verb

run_verb(export)
