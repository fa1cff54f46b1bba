"""Runs of the loop in tests, and what they leave."""

import json

import cv2

from runtime.loop import run_source
from runtime.manifest import open_bundle


def lines_of(out):
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def run(bundle, source, out, overlays=None, frames=None):
    """Header, verdicts and counts of a run that ended well; the counts add up."""
    counts = run_source(open_bundle(bundle), str(source), out, overlays, frames)
    header, *verdicts, last = lines_of(out)
    assert last == counts.record()
    assert_conserved(verdicts, last)
    return header, verdicts, last


def assert_conserved(verdicts, counts):
    assert counts["type"] == "counts"
    assert {line["type"] for line in verdicts} <= {"verdict"}
    assert counts["samples"] == len(verdicts) == counts["OK"] + counts["NG"] + counts["UNKNOWN"]
    for answer in ("OK", "NG", "UNKNOWN"):
        assert counts[answer] == sum(line["verdict"] == answer for line in verdicts)
    assert counts["dropped"] == sum(line["dropped"] for line in verdicts)


def grey(*paths):
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
