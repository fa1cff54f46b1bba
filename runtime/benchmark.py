"""How long a bundle takes here, by trtexec's conventions.

Five phases, which take turns, so that a machine that grows warm or busy does so for all of them:
`gate` and `mask` are the engine's calls alone, of as many tiles as it takes at once and of one;
`shut` and `open` are a frame in memory whose gate stays shut, or opens on every tile; `stream` is
the source as it comes, from capture to verdict.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from runtime.engine import CallTimes, DeviceEngine, Engine
from runtime.errors import EngineError, SourceError
from runtime.frame import Frame
from runtime.inspection import Inspector
from runtime.machine import Machine, State, others_seconds, state_of_machine, this_machine
from runtime.manifest import Bundle
from runtime.power import Energy, energy_of
from runtime.sources import open_source
from runtime.spread import Spread, spread_of
from runtime.verdict import Answer

SCHEMA = 1
WARM_UP_S = 0.2
TURNS = 20
HELD_FRAMES = 32
NEVER, ALWAYS = 2.0, -1.0  # thresholds that no score reaches, or every one

Timed = tuple[float, CallTimes | None]  # ms, and what the engine says itself
Call = Callable[[], Timed]


@dataclass(frozen=True)
class Settings:
    """Two reports compare only where these agree; `frames` is the digest of a file's frames."""

    seconds: float
    warm_up_s: float
    turns: int
    deadline_ms: float | None
    frames: str
    frame_size: tuple[int, int]
    conventions: dict[str, bool]


@dataclass(frozen=True)
class Phase:
    """One phase: its spreads in ms, and every latency, turn by turn.

    Where the engine times its calls itself, the latency of `gate` and `mask` is copy in, compute
    and copy out, and `parts` holds the spread of each, and of enqueuing.
    """

    latency: Spread
    parts: dict[str, Spread]
    deadline_misses: int | None
    turns: list[list[float]]


@dataclass(frozen=True)
class Report:
    """What `benchmark` measured, on what, and in which state that was before and after.

    `others_cores` is how many cores were busy with other programs meanwhile.
    """

    schema: int
    when: str
    bundle: str
    precision: str
    engine: str
    machine: Machine
    before: State
    after: State
    others_cores: float
    settings: Settings
    tiles: int
    open_share: float
    energy: Energy | None
    phases: dict[str, Phase]


class Stopwatch:
    """Times one phase, turn by turn."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._turns: list[list[float]] = []
        self._parts: list[CallTimes] = []

    def turn(self, seconds: float, *, kept: bool = True) -> None:
        """Call for so long, and once at least; the first call only wakes what has gone cold."""
        self._call()
        end = time.monotonic() + seconds
        taken = [self._call()]
        while time.monotonic() < end:
            taken.append(self._call())
        if kept:
            self._turns.append([round(latency_ms, 4) for latency_ms, _ in taken])
            self._parts += [parts for _, parts in taken if parts]

    def phase(self, deadline_ms: float | None) -> Phase:
        """What came out."""
        latencies = [latency for turn in self._turns for latency in turn]
        missed = None if deadline_ms is None else sum(ms > deadline_ms for ms in latencies)
        names = ("enqueue", "h2d", "compute", "d2h") if self._parts else ()
        parts = {name: spread_of([getattr(one, name) for one in self._parts]) for name in names}
        return Phase(spread_of(latencies), parts, missed, self._turns)


def benchmark(
    bundle: Bundle,
    inspector: Inspector,
    uri: str,
    seconds: float,
    deadline_ms: float | None = None,
) -> Report:
    """Measure each phase for `seconds`, on the frames of `uri`, with the bundle's `inspector`.

    Raises:
        SourceError: the source cannot be opened, or gives a frame that cannot be read.
        EngineError: a network cannot be run.
    """
    channels = bundle.manifest.input.channels
    held = _held_frames(uri, channels)
    before = state_of_machine()
    with closing(_endless(uri, channels)) as frames:
        stream = _Judge(inspector, frames)
        calls = {**_calls(bundle, inspector, held), "stream": stream.from_capture}
        others, began = others_seconds(), time.monotonic()
        phases = _in_turns(calls, seconds)
        others_cores = (others_seconds() - others) / (time.monotonic() - began)
        open_share = stream.open_share
        energy = energy_of(stream.from_capture, seconds)
    return Report(
        schema=SCHEMA,
        when=f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        bundle=bundle.sha256,
        precision=bundle.manifest.precision,
        engine=inspector.engine.name,
        machine=this_machine(),
        before=before,
        after=state_of_machine(),
        others_cores=round(others_cores, 2),
        settings=_settings(inspector.engine, uri, held, seconds, deadline_ms),
        tiles=len(inspector.preprocess(held[0])[0]),
        open_share=open_share,
        energy=energy,
        phases={name: watch.phase(deadline_ms) for name, watch in phases.items()},
    )


def _in_turns(calls: dict[str, Call], seconds: float) -> dict[str, Stopwatch]:
    watches = {name: Stopwatch(call) for name, call in calls.items()}
    for watch in watches.values():
        watch.turn(WARM_UP_S, kept=False)
    for _ in range(TURNS):
        for watch in watches.values():
            watch.turn(seconds / TURNS)
    return watches


def _settings(
    engine: Engine, uri: str, held: Sequence[Frame], seconds: float, deadline_ms: float | None
) -> Settings:
    stored = Path(uri).is_dir() or Path(uri).is_file()
    conventions = dict(engine.conventions) if isinstance(engine, DeviceEngine) else {}
    return Settings(
        seconds=seconds,
        warm_up_s=WARM_UP_S,
        turns=TURNS,
        deadline_ms=deadline_ms,
        frames=_digest(held) if stored else "live",
        frame_size=held[0].size,
        conventions=conventions,
    )


def _digest(frames: Sequence[Frame]) -> str:
    digest = sha256()
    for frame in frames:
        digest.update(np.asarray(frame.pixels).tobytes())
    return digest.hexdigest()[:12]


def _held_frames(uri: str, channels: int) -> list[Frame]:
    """The first frames of the source, copied: a camera only lends its pixels until the next."""
    with open_source(uri, channels) as source:
        return [
            replace(_readable(frame), pixels=np.array(frame.pixels))
            for frame in islice(source, HELD_FRAMES)
        ]


def _endless(uri: str, channels: int) -> Generator[Frame]:
    """The frames of the source, from the start again where it ends."""
    while True:
        with open_source(uri, channels) as source:
            yield from source


def _readable(frame: Frame) -> Frame:
    if frame.pixels is None:
        raise SourceError(f"{frame.source}: {frame.fault}; measure with frames that can be read")
    return frame


def _calls(bundle: Bundle, inspector: Inspector, held: Sequence[Frame]) -> dict[str, Call]:
    """The phases whose frames are in memory, `mask` right after `gate`, whose skips it needs."""
    batches = cycle(
        [inspector.preprocess(frame)[1][: inspector.engine.tiles].copy() for frame in held]
    )
    networks = _Networks(inspector.engine, batches)
    return {
        "gate": networks.gate,
        "mask": networks.mask,
        "shut": _Judge(_with(NEVER, bundle, inspector.engine), cycle(held)).from_memory,
        "open": _Judge(_with(ALWAYS, bundle, inspector.engine), cycle(held)).from_memory,
    }


def _with(threshold: float, bundle: Bundle, engine: Engine) -> Inspector:
    manifest = bundle.manifest
    limits = replace(manifest.limits, threshold=threshold)
    return Inspector(engine, manifest.input, limits, manifest.class_names)


def _prepare(engine: Engine, threshold: float, *, timed: bool) -> None:
    """Let an engine that begins masks by itself do so from this score on, and time its calls."""
    if isinstance(engine, DeviceEngine):
        engine.threshold, engine.timed = threshold, timed


class _Networks:
    """Calls of the engine alone."""

    def __init__(self, engine: Engine, batches: Iterator[Any]) -> None:
        self._engine = engine
        self._batches = batches
        self._skips: Any = None

    def gate(self) -> Timed:
        batch = next(self._batches)
        _prepare(self._engine, NEVER, timed=True)
        began = time.monotonic_ns()
        self._skips = self._engine.gate(batch)[1]
        return self._since(began)

    def mask(self) -> Timed:
        began = time.monotonic_ns()
        self._engine.mask(self._skips, 0)
        return self._since(began)

    def _since(self, began: int) -> Timed:
        wall_ms = (time.monotonic_ns() - began) / 1e6
        times = self._engine.call_times() if isinstance(self._engine, DeviceEngine) else None
        return (times.h2d + times.compute + times.d2h if times else wall_ms), times


class _Judge:
    """Judges one frame after the other."""

    def __init__(self, inspector: Inspector, frames: Iterator[Frame]) -> None:
        self._inspector = inspector
        self._frames = frames
        self._answers: Counter[Answer] = Counter()

    @property
    def open_share(self) -> float:
        """Of the frames so far, how many opened the gate."""
        return round(1 - self._answers[Answer.OK] / self._answers.total(), 4)

    def from_memory(self) -> Timed:
        """From having the frame to its verdict."""
        return self._judge(next(self._frames), None)

    def from_capture(self) -> Timed:
        """From the frame's capture to its verdict."""
        frame = _readable(next(self._frames))
        return self._judge(frame, frame.t_capture_ns)

    def _judge(self, frame: Frame, began_ns: int | None) -> Timed:
        _prepare(self._inspector.engine, self._inspector.limits.threshold, timed=False)
        began_ns = began_ns or time.monotonic_ns()
        verdict = self._inspector.inspect(frame).verdict
        took_ms = (time.monotonic_ns() - began_ns) / 1e6
        if verdict.verdict is Answer.UNKNOWN:
            raise EngineError(
                f"{frame.source}: no verdict ({verdict.reason}); see defectgate verify"
            )
        self._answers[verdict.verdict] += 1
        return took_ms, None
