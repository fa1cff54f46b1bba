"""The threshold that all renderings share: each keeps what is promised, or what one of them has."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import export.judging
from calibration.threshold import miss_rate_bound, promised_threshold
from export.judging import Judged, judge_for_all
from runtime.manifest import Guarantee
from runtime.spec import Limits
from train.sample import Sample

PROMISED = 0.4, 0.6
SAMPLES = [Sample(str(n), None, None, True, "pit", "val", str(n)) for n in range(12)]  # noqa: FBT003
SOURCE = SimpleNamespace(deciding=SAMPLES, validation=SAMPLES, record=SimpleNamespace(input=None))
scores = st.lists(st.sampled_from([n / 20 for n in range(20)]), min_size=12, max_size=12)


@pytest.fixture(autouse=True, scope="module")
def scored():
    """An inspector gives the scores that it has, and a rendering is not loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.judging, "sample_scores", lambda inspector, *_: inspector.scores)
        patch.setattr(export.judging, "_judged", lambda _, __, limits, proof: (limits, proof))
        yield


def inspector(found, threshold=0.0):
    return SimpleNamespace(scores=found, limits=Limits(threshold=threshold))


def shared(cpu, others, threshold, guarantee, good=()):
    """Threshold and guarantee of all, where the CPU's rendering has these alone."""
    outcomes = [
        SimpleNamespace(defective=defective, opened=score >= threshold, score=score)
        for defective, found in ((True, cpu), (False, good))
        for score in found
    ]
    judged = Judged(inspector(cpu, threshold), guarantee, outcomes)
    rest = {str(n): inspector(found) for n, found in enumerate(others)}
    found = judge_for_all(None, judged, rest, SOURCE)
    if isinstance(found, Judged):
        return found.inspector.limits.threshold, found.guarantee
    return found[0].threshold, found[1]


def missed(found, threshold):
    return sum(score < threshold for score in found)


@given(scores, st.lists(scores, max_size=3))
def test_what_is_promised_holds_for_each_rendering(cpu, others):
    alone, guarantee = promised_threshold(cpu, *PROMISED)
    threshold, proof = shared(cpu, others, alone, guarantee)
    assert threshold <= alone
    assert proof.rendering == "each"
    for found in (cpu, *others):
        assert missed(found, threshold) <= proof.n_missed
    assert miss_rate_bound(proof.n_missed, 12, PROMISED[1]) <= PROMISED[0]


@given(scores, st.lists(scores, max_size=3), st.sampled_from([0.1, 0.4, 0.7]))
def test_without_a_promise_each_misses_one_more_at_most(cpu, others, alone):
    threshold, proof = shared(cpu, others, alone, None)
    assert proof is None
    assert threshold <= alone
    for found in others:
        assert missed(found, threshold) <= missed(cpu, alone) + 1


@pytest.mark.parametrize(("n_good", "lets"), [(50, 1), (300, 3)])
def test_one_rendering_alone_does_not_make_all_of_them_reject_the_good(n_good, lets):
    good = [n / n_good for n in range(n_good)]
    threshold, _ = shared([0.9] * 12, [[0.01] * 6 + [0.9] * 6], 0.8, None, good)
    rejected = [sum(score >= limit for score in good) for limit in (0.8, threshold)]
    assert rejected[1] == rejected[0] + lets


def test_the_threshold_stays_where_the_others_keep_it():
    found = [0.2] * 2 + [0.9] * 10
    assert shared(found, [found, found], 0.9, None)[0] == 0.9
    alone, guarantee = promised_threshold(found, *PROMISED)
    assert shared(found, [found], alone, guarantee) == (
        alone,
        Guarantee(*PROMISED, 12, missed(found, alone), "each"),
    )
