"""Freed memory stays with a process that asked for it."""

import platform
import subprocess
import sys

import pytest

FAULTS_OF_TEN_ROUNDS = """
import resource
import numpy
from train.memory import keep_freed_memory

{}
for _ in range(3):
    numpy.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    numpy.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first):
    program = FAULTS_OF_TEN_ROUNDS.format(first)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_memory_that_was_freed_needs_no_page_again():
    assert faults("") > 1000
    assert faults("keep_freed_memory()") < 100
