"""What `benchmark` and `benchmark compare` say, as Markdown: for a terminal and a job summary."""

from collections.abc import Iterator, Sequence

from runtime.benchmark import Phase, Report
from runtime.comparison import Change
from runtime.machine import State

NUMBERS = ("median", "p90", "p95", "p99", "max", "jitter")


def report_table(report: Report) -> str:
    """What was measured and where, and a row for each phase."""
    deadline = report.settings.deadline_ms
    late = [] if deadline is None else [f"later than {deadline:g} ms"]
    names = ["ms", "p50", *NUMBERS[1:], "enqueue p50", *late, "n"]
    rows = [_row(name, phase) for name, phase in report.phases.items()]
    return "\n".join([*_conditions(report), "", *_table(names, rows)])


def change_table(changes: Sequence[Change]) -> str:
    """A row for each phase."""
    names = ["ms", "base", "new", "ratio", "95 % interval", ""]
    rows = [
        [
            change.phase,
            f"{change.base_ms:.3f}",
            f"{change.new_ms:.3f}",
            f"{change.ratio:.3f}",
            f"{change.low:.3f} to {change.high:.3f}",
            change.word,
        ]
        for change in changes
    ]
    return "\n".join(_table(names, rows))


def _conditions(report: Report) -> Iterator[str]:
    machine = report.machine
    known = [machine.model, machine.gpu, f"{machine.cores} cores", f"L4T {machine.l4t}"]
    yield f"{report.engine}, {report.precision}, bundle {report.bundle[:12]}, {report.when}"
    yield ", ".join(word for word in known if word and word != "L4T None")
    yield f"before: {_state(report.before)}; after: {_state(report.after)}"
    yield f"other programs took {report.others_cores:.2f} cores meanwhile"
    yield (
        f"frames {report.settings.frame_size[0]}x{report.settings.frame_size[1]}, "
        f"{report.tiles} tiles each; {report.open_share:.1%} of the stream opened the gate"
    )
    if report.energy:
        energy = report.energy
        yield f"energy {energy.mj_a_call:.1f} mJ a frame of the stream, by {energy.meter}"


def _state(state: State) -> str:
    hottest = max(state.temperatures_c.values(), default=None)
    locked = {None: None, True: "clocks locked", False: "clocks not locked"}[state.clocks_locked]
    warm = hottest and f"{hottest:.0f} degrees at most"
    return ", ".join(
        word for word in (state.power_mode, locked, warm, f"load {state.load}") if word
    )


def _row(name: str, phase: Phase) -> list[str]:
    numbers = [f"{getattr(phase.latency, number):.3f}" for number in NUMBERS]
    enqueue = phase.parts.get("enqueue")
    late = [] if phase.deadline_misses is None else [str(phase.deadline_misses)]
    return [
        name,
        *numbers,
        f"{enqueue.median:.3f}" if enqueue else "-",
        *late,
        str(phase.latency.count),
    ]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
