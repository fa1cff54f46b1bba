"""`benchmark compare`: what is a change, what is noise, and what cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest

from runtime.benchmark import Phase, Report, Settings
from runtime.comparison import Change, changes, differences, read_report
from runtime.errors import DataError
from runtime.machine import Machine, State
from runtime.record import write_record
from runtime.spread import spread_of

TRIALS, TOLERANCE = 20, 0.05


def phase(turns):
    return Phase(spread_of([time for turn in turns for time in turn]), {}, None, turns)


def report(**phases):
    machine = Machine("1", "NVIDIA Jetson Orin Nano", "aarch64", 6, 7620, "Orin", "36.4.3")
    state = State("15W", clocks_locked=True, clocks_mhz={}, temperatures_c={}, load=0.1)
    return Report(
        schema=1,
        when="2026-01-01T00:00:00Z",
        bundle="b",
        precision="int8",
        engine="e",
        machine=machine,
        before=state,
        after=state,
        others_cores=0.0,
        settings=Settings(3.0, 0.2, 20, None, "f", (64, 64), {"cuda_graph": True}),
        tiles=1,
        open_share=0.05,
        energy=None,
        phases={name: phase(turns) for name, turns in phases.items()},
    )


def noisy(rng, factor=1.0, turns=20, calls=40):
    """Times as a shared machine gives them: each turn has its own level, some calls are late."""
    level = np.exp(np.cumsum(rng.normal(0, 0.01, turns)) + rng.normal(0, 0.02, turns))
    level /= np.median(level)  # the machine is the same one
    base = 3.0 * factor * level[:, None] * rng.gamma(40, 1 / 40, (turns, calls))
    late = rng.random((turns, calls)) < 0.05
    return np.where(late, base * rng.uniform(1.5, 10, base.shape), base).round(4).tolist()


def disturbed(rng, turns, share=0.4):
    """The same, where a neighbour slows a part of the turns, one after the other, by a third."""
    first = rng.integers(len(turns))
    slowed = [(first + i) % len(turns) for i in range(round(share * len(turns)))]
    return [np.multiply(t, 1.33).tolist() if i in slowed else t for i, t in enumerate(turns)]


def alarms(factor, neighbour=None):
    """In how many of the trials `compare` refuses; a neighbour is there for `base` or `new`."""
    found = 0
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        turns = {"base": noisy(rng), "new": noisy(rng, factor)}
        if neighbour:
            turns[neighbour] = disturbed(rng, turns[neighbour])
        base, new = (report(gate=turns[which]) for which in ("base", "new"))
        found += changes(base, new)[0].is_slowdown(TOLERANCE)
    return found


@pytest.mark.parametrize("neighbour", [None, "base", "new"])
def test_a_tenth_slower_is_found_in_19_of_20_trials(neighbour):
    assert alarms(1.1, neighbour) >= 19


@pytest.mark.parametrize("neighbour", [None, "base", "new"])
def test_nothing_slower_is_an_alarm_in_one_of_20_trials_at_most(neighbour):
    assert alarms(1.0, neighbour) <= 1


def test_the_interval_holds_the_planted_ratio():
    rng = np.random.default_rng(5)
    found = [changes(report(gate=noisy(rng)), report(gate=noisy(rng, 1.2)))[0] for _ in range(20)]
    assert sum(change.low <= 1.2 <= change.high for change in found) >= 18


def test_the_same_times_are_noise():
    times = noisy(np.random.default_rng(0))
    (change,) = changes(report(gate=times), report(gate=times))
    assert (change.ratio, change.word) == (1, "noise")


@pytest.mark.parametrize(
    ("ratio", "low", "high", "word", "refused"),
    [
        (1.2, 1.1, 1.3, "slower", True),
        (1.2, 0.9, 1.5, "noise", False),
        (1.04, 1.01, 1.06, "slower", False),
        (0.8, 0.7, 0.9, "faster", False),
    ],
)
def test_a_slowdown_is_real_and_over_the_tolerance(ratio, low, high, word, refused):
    change = Change("gate", 1.0, ratio, ratio, low, high)
    assert (change.word, change.is_slowdown(TOLERANCE)) == (word, refused)


BASE = report(gate=[[1.0, 1.1]] * 20)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            replace(BASE, machine=replace(BASE.machine, model="AGX Orin")),
            "machine.model is AGX Orin, was NVIDIA Jetson Orin Nano",
        ),
        (replace(BASE, machine=replace(BASE.machine, id="2")), "machine.id is 2, was 1"),
        (
            replace(BASE, before=replace(BASE.before, power_mode="MAXN_SUPER")),
            "power_mode is MAXN_SUPER, was 15W",
        ),
        (
            replace(BASE, before=replace(BASE.before, clocks_locked=False)),
            "clocks_locked is False, was True",
        ),
        (
            replace(BASE, settings=replace(BASE.settings, conventions={"cuda_graph": False})),
            "settings.conventions is {'cuda_graph': False}, was {'cuda_graph': True}",
        ),
        (replace(BASE, settings=replace(BASE.settings, frames="g")), "settings.frames is g, was f"),
        (report(mask=[[1.0]]), "phases is ['mask'], was ['gate']"),
        (replace(BASE, others_cores=1.5), "other programs took 1.5 cores at 2026-"),
    ],
)
def test_what_is_not_alike_is_not_compared(other, said):
    with pytest.raises(DataError) as refused:
        changes(BASE, other)
    assert said in str(refused.value)


def test_another_bundle_and_another_library_are_compared():
    assert differences(BASE, replace(BASE, bundle="c", engine="e 2", precision="float")) == []


def test_a_report_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "base.json"
    write_record(path, BASE)
    assert read_report(path) == BASE
    path.write_text(path.read_text(encoding="utf-8").replace("1.1", "0.1"), encoding="utf-8")
    with pytest.raises(DataError, match="was changed since it was written"):
        read_report(path)


def test_the_command_has_status_3_where_something_is_slower(defectgate, tmp_path):
    base, new = tmp_path / "base.json", tmp_path / "new.json"
    write_record(base, BASE)
    write_record(new, report(gate=[[1.5, 1.6]] * 20))
    slower = defectgate("benchmark", "compare", base, new)
    assert slower.returncode == 3
    assert "| gate | 1.050 | 1.550 | 1.476 |" in slower.stdout
    assert slower.stderr.startswith(f"QualityError: {new}: gate slower than {base} by more than 5%")
    faster = defectgate("benchmark", "compare", new, base)
    assert (faster.returncode, faster.stderr) == (0, "")
    tolerated = defectgate("benchmark", "compare", base, new, "--tolerance", "0.6")
    assert (tolerated.returncode, tolerated.stderr) == (0, "")
