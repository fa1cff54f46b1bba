"""`python -m calibration`: the same as `defectgate calibrate`."""

from calibration.cli import calibrate
from runtime.command import run_verb

run_verb(calibrate)
