"""Evaluation beside the runtime: the same verdicts bit by bit, or a refusal."""

import json

import numpy as np
import pytest

from runtime.errors import DataError, QualityError
from runtime.loop import run_source
from runtime.manifest import open_bundle
from train.scorecard import evaluate


@pytest.fixture(scope="module")
def judged(int8_bundle, visible_set, tmp_path_factory):
    """The lines of the test split, as a file."""
    out = tmp_path_factory.mktemp("judged") / "verdicts.jsonl"
    run_source(open_bundle(int8_bundle), str(visible_set / "images" / "test"), out, None, None)
    return out


def lines_of(out):
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_evaluate_agrees_with_the_runtime(judged, int8_bundle, visible_set, capsys):
    metrics = evaluate(int8_bundle, visible_set, "test", None, judged)
    assert metrics["n"] == 24
    assert "verdicts: all 24 the same as the runtime's" in capsys.readouterr().out


def flipped(lines, index):
    lines[index]["verdict"] = {"OK": "NG", "NG": "OK"}[lines[index]["verdict"]]
    return lines


def nudged(lines, index):
    lines[index]["score"] = float(np.nextafter(np.float32(lines[index]["score"]), np.float32(1)))
    return lines


def left_out(lines, index):
    return lines[:index] + lines[index + 1 :]


def renamed(lines, index):
    lines[index]["source"] = "another.png"
    return lines


def unknown(lines, index):
    lines[index].update(verdict="UNKNOWN", score=None)
    return lines


@pytest.mark.parametrize("change", [flipped, nudged, left_out, renamed, unknown])
def test_evaluate_refuses_altered_verdicts(judged, int8_bundle, visible_set, tmp_path, change):
    altered = change(lines_of(judged), 1)
    (tmp_path / "altered").write_text("\n".join(map(json.dumps, altered)), encoding="utf-8")
    with pytest.raises(QualityError, match="verdicts are not the ones computed here") as refused:
        evaluate(int8_bundle, visible_set, "test", None, tmp_path / "altered")
    assert refused.value.exit_status == 3


@pytest.mark.parametrize("content", ["[]", "7", "no json", '{"type": "verdict"}', '{"seq": 1}'])
def test_what_is_no_verdict_file_is_said(int8_bundle, visible_set, tmp_path, content):
    (tmp_path / "verdicts").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"--verdicts {tmp_path / 'verdicts'}: "):
        evaluate(int8_bundle, visible_set, "test", None, tmp_path / "verdicts")
