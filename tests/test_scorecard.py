"""Evaluation beside the runtime: the same verdicts and nearly the same scores, or a refusal."""

import json
import re
import shutil
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from exports import sealed

from runtime.errors import DataError, ModelError, QualityError
from runtime.loop import run_source
from runtime.manifest import open_bundle
from train.dataset import read_dataset
from train.judge import float_judge_of, judge_of
from train.scorecard import _judges, evaluate, measure_all


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


def test_a_list_of_mistakes_says_how_many_it_leaves_out(
    plain_bundle, drawn_set, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("train.scorecard.LISTED", 1)
    evaluate(plain_bundle, drawn_set, "all", tmp_path / "json", None)
    record = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    out = capsys.readouterr().out
    n_missed = round(record["n_defective"] * (1 - record["recall"]))
    n_false = round(record["n_good"] * record["false_reject_rate"])
    for what, n in (("missed", n_missed), ("false", n_false)):
        told = [line for line in out.splitlines() if line.startswith(f"{what}: ")]
        assert len(told) == min(n, 2)
        assert n < 2 or told[1] == f"{what}: {n - 1} more"
    assert max(n_missed, n_false) > 1


def flipped(lines, index):
    lines[index]["verdict"] = {"OK": "NG", "NG": "OK"}[lines[index]["verdict"]]
    return lines


def moved(lines, index, by=0.011):
    lines[index]["score"] += by if lines[index]["score"] < 0.5 else -by
    return lines


def left_out(lines, index):
    return lines[:index] + lines[index + 1 :]


def renamed(lines, index):
    lines[index]["source"] = "another.png"
    return lines


def unknown(lines, index):
    lines[index].update(verdict="UNKNOWN", score=None)
    return lines


SAID = {
    flipped: r"1 of 24 verdicts are not the ones .*: .. at (\d\.\d{4}) here, .. at \1 there; they",
    moved: r"1 of 24 verdicts are not the ones .*: (..) at \d\.\d{4} here, \1 at \d\.\d{4} there; ",
    left_out: "1 of 24 samples of this split have no verdict",
    renamed: r"1 of 24 samples .* and 1 of 24 verdicts are of no sample of this split, such as ano",
    unknown: "1 of 24 verdicts are not the ones computed here, such as .* here, UNKNOWN there; ",
}


@pytest.mark.parametrize("change", SAID)
def test_evaluate_refuses_altered_verdicts(judged, int8_bundle, visible_set, tmp_path, change):
    altered = change(lines_of(judged), 1)
    (tmp_path / "altered").write_text("\n".join(map(json.dumps, altered)), encoding="utf-8")
    with pytest.raises(QualityError, match=SAID[change]) as refused:
        evaluate(int8_bundle, visible_set, "test", None, tmp_path / "altered")
    assert refused.value.exit_status == 3


def test_scores_may_differ_as_much_as_between_kinds_of_processors(
    judged, int8_bundle, visible_set, tmp_path, capsys
):
    near = [moved(lines_of(judged), n, 0.0053)[n] for n in range(1, 25)]
    (tmp_path / "near").write_text("\n".join(map(json.dumps, near)), encoding="utf-8")
    evaluate(int8_bundle, visible_set, "test", None, tmp_path / "near")
    assert "verdicts: all 24 the same as the runtime's" in capsys.readouterr().out


@pytest.fixture(scope="module")
def reviewing(plain_bundle, drawn_set, tmp_path_factory):
    """A bundle that leaves 7 of the 15 samples for training to a person, and their outcomes."""
    (measured,) = measure_all([judge_of(plain_bundle)], read_dataset(drawn_set), "train", None)
    scores = sorted(o.score for o in measured.outcomes)
    limits = {"threshold": scores[4], "review_below": scores[11]}
    bundle = sealed(plain_bundle, tmp_path_factory.mktemp("reviewing") / "bundle", limits=limits)
    return bundle, measured.outcomes


def rows_of(table):
    """The rows of a printed table of two columns."""
    cells = [line.split("│") for line in table.splitlines() if line.startswith("│")]
    return {name.strip(): value.strip() for _, name, value, _ in cells}


def test_what_is_for_a_person_is_counted_as_the_runtime_counts_it(
    reviewing, drawn_set, tmp_path, capsys
):
    bundle, outcomes = reviewing
    found = tmp_path / "found"
    source = str(drawn_set / "images" / "train")
    counts = run_source(open_bundle(bundle), source, found, None, None).record()
    evaluate(bundle, drawn_set, "train", tmp_path / "json", found)
    record = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    limits = open_bundle(bundle).manifest.limits
    assert record["answers"] == {name: counts[name] for name in ("OK", "REVIEW", "NG")}
    assert record["review_below"] == limits.review_below
    out = capsys.readouterr().out
    table = rows_of(out)
    assert (table["OK"], table["REVIEW"], table["NG"]) == ("4", "7", "4")
    opened = [o.score for o in outcomes if not o.defective and o.score >= limits.threshold]
    n_rejected = sum(score >= limits.review_below for score in opened)
    assert table["false"] == f"{n_rejected} of 9"
    rejected = [o for o in outcomes if not o.defective and o.score >= limits.review_below]
    told = [line.split()[1] for line in out.splitlines() if line.startswith("false: ")]
    assert told == [o.name for o in sorted(rejected, key=lambda o: -o.score)] != []
    assert table["good, but for a person"] == f"{len(opened) - n_rejected} of 9"
    lines = [line for line in lines_of(found) if line["type"] == "verdict"]
    ms = median(line["latency_ms"]["total"] for line in lines if line["verdict"] != "OK")
    assert table["time a frame, gate open"] == f"{ms:.2f} ms"


def test_the_set_that_was_taught_is_said_to_say_nothing_of_new_parts(
    plain_bundle, drawn_set, tmp_path, capsys
):
    taught = {"data_digest": read_dataset(drawn_set).digest}
    bundle = sealed(plain_bundle, tmp_path / "bundle", provenance=taught)
    evaluate(bundle, drawn_set, "all", None, None)
    assert "includes what the model was taught" in capsys.readouterr().out
    evaluate(bundle, drawn_set, "test", None, None)
    evaluate(plain_bundle, drawn_set, "all", None, None)
    assert "includes what the model was taught" not in capsys.readouterr().out


def test_verdicts_of_other_samples_are_told_from_wrong_ones(plain_bundle, drawn_set, tmp_path):
    found, out = tmp_path / "found", b""
    for split in ("train", "val"):
        images = str(drawn_set / "images" / split)
        run_source(open_bundle(plain_bundle), images, found, None, None)
        out += found.read_bytes()
    found.write_bytes(out)
    with pytest.raises(QualityError, match="found: 15 of 20 verdicts are of no sample"):
        evaluate(plain_bundle, drawn_set, "val", None, found)


@pytest.mark.parametrize(
    ("flag", "place", "said"),
    [
        ("out", "", "--json .*: is a folder; name a file, which need not exist"),
        ("out", "file/x", "--json .*: .*file is a file; name a place in a folder"),
        ("report", "file/x", "--report .*: .*file is a file; name a place in a folder"),
    ],
)
def test_a_place_for_the_numbers_is_refused_before_all_else(tmp_path, flag, place, said):
    (tmp_path / "file").write_text("", encoding="utf-8")
    places = {"out": None, "report": None, flag: tmp_path / place}
    nowhere = tmp_path / "nowhere"
    with pytest.raises(DataError, match=said):
        evaluate(nowhere, nowhere, "test", verdicts=None, **places)


LINE = {"type": "verdict", "source": "a", "verdict": "OK", "score": 0.5, "latency_ms": {"total": 1}}


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "7", "no json", '{"type": "verdict"}', '{"seq": 1}'),
        *(json.dumps(LINE | wrong) for wrong in ({"source": ["a"]}, {"latency_ms": {}})),
    ],
)
def test_what_is_no_verdict_file_is_said(int8_bundle, visible_set, tmp_path, content):
    (tmp_path / "verdicts").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"--verdicts {tmp_path / 'verdicts'}: "):
        evaluate(int8_bundle, visible_set, "test", None, tmp_path / "verdicts")


def test_the_result_file_has_metrics_intervals_and_parts(int8_bundle, visible_set, tmp_path):
    path = tmp_path / "not yet there" / "metrics.json"
    metrics = evaluate(int8_bundle, visible_set, "test", path, None)
    found = json.loads(path.read_text(encoding="utf-8"))
    intervals, parts = found.pop("intervals"), found.pop("by")
    assert found.pop("answers").keys() == {"OK", "REVIEW", "NG"}
    assert found.pop("review_below") == 0
    assert found == metrics
    for name in ("recall", "false_reject_rate", "gated_seg_recall", "gated_seg_miou", "seg_miou"):
        low, high = intervals[name]
        assert low <= metrics[name] <= high
    assert {name: sum(part["n"] for part in parts[name]) for name in ("class", "size")} == {
        "class": metrics["n_defective"],
        "size": metrics["n_defective"],
    }
    test = read_dataset(visible_set).split("test")
    assert parts["group"]["n"] == len({s.group for s in test if s.defective})


def test_two_models_are_measured_side_by_side(
    int8_bundle, float_bundle, trained_run, visible_set, tmp_path, capsys
):
    out = tmp_path / "metrics.json"
    evaluate(int8_bundle, visible_set, "test", out, None, beside=float_bundle)
    found = json.loads(out.read_text(encoding="utf-8"))
    alone = evaluate(float_bundle, visible_set, "test", None, None)
    beside = found["beside"]
    assert {name: beside[name] for name in alone} == alone
    assert beside["model"] == str(float_bundle)
    assert set(beside["differing"]) <= {f"images/test/{n:04}.png" for n in range(1000)}
    low, high = beside["difference_intervals"]["seg_miou"]
    assert low <= found["seg_miou"] - beside["seg_miou"] <= high
    said = capsys.readouterr().out
    assert "bundle, float" in said
    less = found["gated_seg_miou"] - beside["gated_seg_miou"]
    assert re.search(rf"difference: recall [+-].*gated {re.escape(f'{less:+.3f}')} \([+-]", said)
    evaluate(trained_run, visible_set, "test", out, None, beside=float_bundle)
    beside = json.loads(out.read_text(encoding="utf-8"))["beside"]
    assert {name: beside[name] for name in alone} == alone


def test_the_float_network_in_an_int8_bundle_is_the_one_it_came_from(int8_bundle, float_bundle):
    exact = float_judge_of(int8_bundle)
    of_its_own = judge_of(float_bundle)
    image = np.random.default_rng(0).integers(0, 255, (2, 64, 64, exact.spec.channels), np.uint8)
    scores, skips = exact.inspector.engine.gate(image)
    expected, their_skips = of_its_own.inspector.engine.gate(image)
    assert scores == pytest.approx(expected, abs=1e-5)
    masks = [exact.inspector.engine.mask(skips, tile).astype(int) for tile in (0, 1)]
    theirs = [of_its_own.inspector.engine.mask(their_skips, tile).astype(int) for tile in (0, 1)]
    assert np.abs(np.subtract(masks, theirs)).max() <= 1
    assert exact.inspector.limits == of_its_own.inspector.limits
    assert float_judge_of(float_bundle) is None


def test_paths_are_shown_as_they_are(float_bundle, visible_set, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = shutil.copytree(float_bundle, Path("[b]"))
    evaluate(float_bundle, visible_set, "test", None, None, beside=odd)
    assert "[b]" in capsys.readouterr().out


def test_folders_of_one_name_are_told_apart_by_their_paths(float_bundle, tmp_path):
    copy = shutil.copytree(float_bundle, tmp_path / "a" / float_bundle.name)
    renamed = shutil.copytree(float_bundle, tmp_path / "b")
    first, by_path = _judges(float_bundle, copy, None)
    assert first.title.endswith(f", {float_bundle}")
    assert by_path.title.endswith(f", {copy}")
    assert _judges(float_bundle, renamed, None)[1].title.endswith("float, b")


def test_a_model_beside_itself_is_refused(int8_bundle, visible_set):
    with pytest.raises(ModelError, match="is --model itself"):
        evaluate(int8_bundle, visible_set, "test", None, None, beside=int8_bundle)


def test_a_report_needs_a_folder_and_leaves_nothing_half_written(
    int8_bundle, visible_set, tmp_path
):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"--report .*file: is a file; name a folder"):
        evaluate(int8_bundle, visible_set, "test", None, None, report=tmp_path / "file")
    evaluate(int8_bundle, visible_set, "test", None, None, report=tmp_path / "new" / "report")
    assert [path.name for path in (tmp_path / "new" / "report").iterdir()] == ["report.html"]


def test_a_split_that_is_unknown_is_told_from_one_that_is_empty(plain_bundle, drawn_set):
    with pytest.raises(DataError, match=r"'tets' is unknown; name one of \['test', .*\], or all"):
        evaluate(plain_bundle, drawn_set, "tets", None, None)
