"""Which ranges are taken, and what a rendering must keep at the threshold of another."""

from dataclasses import dataclass, replace

import onnx
import pytest

from calibration.calibrating import read_calibration
from export.judging import Judged, Promise, inspector_of, judge, say_what_is_missing, source_of
from export.renderings import TENSORRT, Quantizer, least_loss
from runtime.inspection import Inspector
from train.checkpoint import load_record
from train.dataset import read_dataset


@dataclass(frozen=True)
class Lost:
    """A rendering, by what it lost."""

    losses: dict


def lost(*pairs):
    return [Lost({"seg_recall": recall, "image_ap": ap}) for recall, ap in pairs]


@pytest.mark.parametrize(
    ("pairs", "best"),
    [
        ([(0.1, 0.0), (0.0, 0.3), (0.2, 0.0)], 1),
        ([(0.1, 0.2), (0.1, 0.1), (0.1, 0.3)], 1),
        ([(0.1, 0.1), (0.1, 0.1), (0.1, 0.1)], 0),
        ([(0.0, 0.0), (-0.1, 0.0), (-0.1, -0.1)], 2),
    ],
)
def test_the_least_seg_recall_is_lost_then_the_least_ap(pairs, best):
    assert least_loss(lost(*pairs)) == best


@pytest.fixture
def source(trained_run, visible_set):
    """What judges the renderings of `trained_run`."""
    return source_of(load_record(trained_run), read_dataset(visible_set), Promise(0.01, 0.95))


def test_a_rendering_must_keep_the_recall_of_the_first_at_its_threshold(
    source, float_bundle, int8_bundle, tmp_path
):
    model = int8_bundle / "model.onnx"
    exact = judge(float_bundle / "cpu", source)
    calibration = read_calibration(int8_bundle, source.dataset, model)
    quantizer = Quantizer(onnx.load(model), calibration, source, exact, tmp_path)
    limits = replace(exact.inspector.limits, threshold=1.1)  # as if its scores were higher
    higher = inspector_of(float_bundle / "cpu", source.record, limits)
    rendering = quantizer.render(TENSORRT, (), Judged(higher, None, exact.outcomes))
    assert exact.metrics["recall"] == rendering.losses["recall"] > 0
    assert rendering.broken[-1].startswith("recall fell by")
    alone = replace(quantizer, beside=tmp_path / "alone")
    assert "recall" not in alone.render(TENSORRT, (), None).losses
    promising = replace(source, promise=Promise(0.5, 0.8))
    assert not promising.missing
    proven = replace(quantizer, source=promising, beside=tmp_path / "proven")
    rendering = proven.render(TENSORRT, (), Judged(higher, None, exact.outcomes))
    assert rendering.judged.inspector.limits.threshold == 1.1  # as the half that proves has it
    assert rendering.losses["recall"] < exact.metrics["recall"]  # but compared is at another


def test_as_many_good_samples_are_rejected_as_may_be(source, float_bundle, monkeypatch):
    scores = [0.9 if s.defective else 0.95 - 0.1 * n for n, s in enumerate(source.deciding)]
    monkeypatch.setattr("train.evaluation.sample_scores", lambda *_: scores)
    for share in (0.0, 0.5):
        asked = replace(source, promise=replace(source.promise, max_false_rejects=share))
        threshold = judge(float_bundle / "cpu", asked).inspector.limits.threshold
        assert (threshold <= 0.9) == (share > 0)  # which rejects a good one too


@pytest.mark.parametrize(
    ("good", "said"),
    [
        (True, "split, it has 5; the threshold is the best recall at 5% false rejects"),
        (False, "; the threshold is 0, which rejects every sample: no good one says where to"),
    ],
)
def test_why_nothing_is_promised_is_said_with_the_threshold(source, capsys, good, said):
    deciding = [sample for sample in source.deciding if good or sample.defective]
    say_what_is_missing(replace(source, deciding=deciding), Judged(None, None, []))
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("below", "is_said"), [(0.0, True), (0.9, False)])
def test_why_nothing_is_for_review_is_said(source, capsys, below, is_said):
    asked = replace(source, promise=replace(source.promise, max_review_rate=0.05))
    limits = replace(source.record.limits, review_below=below)
    judged = Judged(Inspector(None, source.record.input, limits, ("defect",)), None, [])
    say_what_is_missing(asked, judged)
    assert ("no sample will be REVIEW: of the " in capsys.readouterr().err) == is_said
