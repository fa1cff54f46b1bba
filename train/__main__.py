"""`python -m train`: the same as `defectgate train`."""

from runtime.command import run_verb
from train.cli import train

run_verb(train)
