"""`python -m jetson`: the same as `defectgate doctor`."""

from jetson.cli import doctor
from runtime.command import run_verb

run_verb(doctor)
