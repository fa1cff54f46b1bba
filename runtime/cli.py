"""Flags of `runtime`."""

import math
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from runtime.settings import ENGINES, EngineKind

Engine = Annotated[EngineKind, typer.Option(help="auto: TensorRT where build made plans for it.")]
Engines = Annotated[Path, typer.Option(help="Folder of those plans.")]
Spin = Annotated[bool, typer.Option("--spin", help="Wait for the GPU at full speed, not asleep.")]


Camera = Annotated[
    str,
    typer.Option(
        help="/dev/videoN, with settings as in '/dev/video0?width=1280&height=720&gain=4'; a "
        "video file; a folder of images.",
        metavar="URI",
    ),
]
Frames = Annotated[int | None, typer.Option(min=1, help="Stop after so many.")]


def runtime(
    camera: Camera,
    bundle: Annotated[Path, typer.Option(help="What export wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="JSON lines go here; by default to standard output.")
    ] = None,
    save_overlays: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a picture of every NG or REVIEW sample: BEGUN-SEQ.png.", metavar="DIR"
        ),
    ] = None,
    rle: Annotated[
        bool, typer.Option("--rle", help="The masks go into the lines too, as COCO's run lengths.")
    ] = False,
    frames: Frames = None,
    engine: Engine = EngineKind.AUTO,
    engines: Engines = ENGINES,
    spin: Spin = False,
    self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Judge the golden images first.")
    ] = True,
) -> None:
    """Judge every frame of a source: one line of JSON each, and counts that add up."""
    from dataclasses import replace

    from runtime.engines import engine_of, say_where_int8_is_slow
    from runtime.loop import run_source
    from runtime.manifest import open_bundle

    stop, interrupted = _stopped_by_signals()
    opened = open_bundle(bundle)
    judge = engine_of(opened, engine, engines, spin=spin, self_test=self_test)
    say_where_int8_is_slow(opened, judge.engine)
    judge = replace(judge, rle=rle)
    counts = run_source(opened, camera, out, save_overlays, frames, stop, judge).record()
    if interrupted.is_set():
        raise KeyboardInterrupt
    if out:
        shown = ", ".join(f"{value} {name}" for name, value in counts.items() if name != "type")
        typer.echo(f"{shown}; verdicts in {out}", err=True)


def _stopped_by_signals() -> tuple[threading.Event, threading.Event]:
    """What is set when this process is told to end, and what when that was by Ctrl-C."""
    stop, interrupted = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        """The first Ctrl-C lets the frame at hand have its verdict, another one does not."""
        interrupted.set()
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def end(*_: object) -> None:
        """A service's stop, or a closed terminal."""
        stop.set()

    for number, handle in ((signal.SIGINT, interrupt), (signal.SIGTERM, end), (signal.SIGHUP, end)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and `&` in a script have it
            signal.signal(number, handle)
    return stop, interrupted


def record(
    camera: Camera,
    out: Annotated[Path, typer.Option(help="Folder for the images: BEGUN-SEQ.png.")],
    every: Annotated[float, typer.Option(min=0, help="Seconds between a camera's.")] = 1.0,
    frames: Frames = None,
) -> None:
    """Save what a camera sees, to train on it; ends with Ctrl-C."""
    if not math.isfinite(every):
        raise typer.BadParameter(f"is {every}, expected a number of seconds", param_hint="--every")
    from runtime.recording import record_frames

    stop, _ = _stopped_by_signals()
    for path in record_frames(camera, out, every, frames, stop):
        typer.echo(path)


def cameras(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the cameras, what they give, and how to set each for inspection."""
    import msgspec
    from rich.console import Console

    from runtime.cameras import cameras, table_of

    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(cameras())))
    else:
        Console(soft_wrap=not Console().is_terminal).print(table_of(cameras()))


BundleFolder = Annotated[Path, typer.Argument(help="What export wrote.")]


def inspect(bundle: BundleFolder) -> None:
    """Say what a bundle is, what it promises, and what to expect of it."""
    from rich.console import Console

    from runtime.manifest import open_bundle
    from runtime.summary import summary_of

    Console().print(summary_of(open_bundle(bundle)))


def verify(
    bundle: BundleFolder, engine: Engine = EngineKind.AUTO, engines: Engines = ENGINES
) -> None:
    """Check every file of a bundle, and that its golden images get their verdicts here.

    With `--engine auto` by onnxruntime and, where plans fit, by TensorRT.
    """
    from runtime.engines import engines_of
    from runtime.golden import check_golden, require_telling
    from runtime.loop import inspector_of_bundle
    from runtime.manifest import open_bundle

    opened = open_bundle(bundle)
    typer.echo(f"{bundle}: {len(opened.manifest.files)} files as they were sealed")
    for chosen in engines_of(opened, engine, engines):
        check = check_golden(opened, inspector_of_bundle(opened, chosen.engine))
        require_telling(check, opened)
        verdicts = ", ".join(f"{count} {answer.value}" for answer, count in check.verdicts.items())
        lost = check.lost_iou
        masks = "no mask is on record" if lost is None else f"their masks' mean IoU by {-lost:+.4f}"
        typer.echo(
            f"golden images got their verdicts by {chosen.engine.name}, {chosen.reason}: "
            f"{verdicts}; scores off by {check.largest_difference:.4f} at most, {masks}"
        )


benchmark = typer.Typer(invoke_without_command=True)


@benchmark.callback()
def measure(
    context: typer.Context,
    bundle: Annotated[Path | None, typer.Option(help="What export wrote.")] = None,
    camera: Annotated[
        str | None,
        typer.Option(help="As in runtime; by default the bundle's golden images.", metavar="URI"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each of five phases.")] = 3.0,
    deadline_ms: Annotated[float | None, typer.Option(min=0, help="Count what is later.")] = None,
    json: Annotated[Path | None, typer.Option(help="Every time goes here.")] = None,
    histogram: Annotated[Path | None, typer.Option(help="A picture, as SVG.")] = None,
    engine: Engine = EngineKind.AUTO,
    engines: Engines = ENGINES,
    spin: Spin = False,
) -> None:
    """Measure how long a bundle takes here: gate, mask, gate shut, gate open, the stream."""
    if context.invoked_subcommand:
        return
    if bundle is None:
        raise typer.BadParameter("name one, or compare two reports", param_hint="--bundle")
    from runtime.benchmark import benchmark as run_benchmark
    from runtime.benchmark_table import report_table
    from runtime.engines import engine_of
    from runtime.histogram import histogram as picture
    from runtime.loop import inspector_of_bundle
    from runtime.manifest import open_bundle
    from runtime.record import write_atomically, write_record

    opened = open_bundle(bundle)
    uri = camera or str(bundle / "golden")
    inspector = inspector_of_bundle(opened, engine_of(opened, engine, engines, spin=spin).engine)
    report = run_benchmark(opened, inspector, uri, seconds, deadline_ms)
    typer.echo(report_table(report))
    if json:
        write_record(json, report)
    if histogram:
        write_atomically(histogram, picture(report).encode())


@benchmark.command()
def compare(
    base: Annotated[Path, typer.Argument(help="What benchmark --json wrote before.")],
    new: Annotated[Path, typer.Argument(help="What it wrote now.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Slower by this share passes.")] = 0.05,
) -> None:
    """Say faster, slower or noise for each phase; exit status 3 where one is slower."""
    from runtime.benchmark_table import change_table
    from runtime.comparison import changes, read_report
    from runtime.errors import QualityError

    found = changes(read_report(base), read_report(new))
    typer.echo(change_table(found))
    slower = [change.phase for change in found if change.is_slowdown(tolerance)]
    if slower:
        raise QualityError(
            f"{new}: {', '.join(slower)} slower than {base} by more than {tolerance:.0%}; "
            "find the cause, or keep the new report as the baseline"
        )
