"""`python -m runtime`: the same as `defectgate runtime`."""

from runtime.cli import runtime
from runtime.command import run_verb

run_verb(runtime)
