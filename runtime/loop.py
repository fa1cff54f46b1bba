"""The loop: frames in, verdicts out, and counts that add up however it ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import numpy as np

from runtime.engine import Engine
from runtime.engines import Chosen, onnx_engine_of
from runtime.errors import say
from runtime.frame import Frame
from runtime.golden import check_golden, has_golden
from runtime.images import Image, readable, require_outside
from runtime.inspection import Inspection, Inspector
from runtime.manifest import Bundle
from runtime.overlay import overlay
from runtime.sinks import Pictures, open_lines, write_line
from runtime.sources import is_camera, open_source, say_what_lies_below
from runtime.spec import Limits
from runtime.verdict import Answer, Counts


def inspector_of_bundle(
    bundle: Bundle, engine: Engine | None = None, *, rle: bool = False
) -> Inspector:
    """An inspector that judges with the bundle's networks and limits; by default on the CPU.

    Raises:
        EngineError: a network cannot be loaded.
    """
    manifest = bundle.manifest
    engine = engine or onnx_engine_of(bundle)
    return Inspector(engine, manifest.input, manifest.limits, manifest.class_names, rle=rle)


def run_source(
    bundle: Bundle,
    uri: str,
    out: Path | None = None,
    overlays: Path | None = None,
    frames: int | None = None,
    stop: threading.Event | None = None,
    chosen: Chosen | None = None,
) -> Counts:
    """Judge the frames of `uri`, at most `frames` of them, and write a line for each.

    Once `stop` is set, the frame at hand is the last. Without a `chosen` engine it is the CPU's.

    Raises:
        SourceError: the source cannot be opened.
        EngineError: a network cannot be loaded, or the GPU is lost.
        DataError: the output cannot be written, or not every picture was, or they would lie in
            the source.
        QualityError: the golden images were to be judged first, and got other verdicts.
    """
    if overlays:
        require_outside("--save-overlays", overlays, Path(uri))
    chosen_engine, rle = (chosen.engine, chosen.rle) if chosen else (None, False)
    inspector = inspector_of_bundle(bundle, chosen_engine, rle=rle)
    why = {"engine_reason": chosen.reason} if chosen else {}
    if chosen and chosen.self_test and has_golden(bundle):
        passed = check_golden(bundle, inspector).verdicts.total()
        why["self_test"] = f"{passed} golden images got their verdicts"
    counts = Counts()
    with (
        open_source(uri, bundle.manifest.input.channels, stop) as source,
        nullcontext(Pictures(overlays, wait=not is_camera(uri)) if overlays else None) as pictures,
        open_lines(out) as lines,
    ):
        begun = datetime.now(timezone.utc)
        write_line(lines, header(bundle, inspector, uri, begun) | why)
        say_what_lies_below(uri)
        spec, unlike = bundle.manifest.input, ""
        try:
            for frame in _until(stop, islice(source, frames)):
                if not unlike and frame.pixels is not None and (unlike := spec.unlike(frame.size)):
                    say(f"--camera {readable(uri)}: {unlike}")
                inspection = inspector.inspect(frame)
                write_line(lines, inspection.verdict.record(bundle.manifest.mm_per_pixel))
                counts.add(inspection.verdict)
                if pictures and inspection.verdict.verdict in {Answer.NG, Answer.REVIEW}:
                    name = f"{begun:%Y%m%dT%H%M%S%f}-{frame.seq:06d}.png"
                    pictures.put(name, _drawing(frame, inspection, inspector.limits))
                if inspection.end:
                    raise inspection.end
                del frame  # as in `_until`
        finally:
            try:
                counts.pictures_lost = pictures.finish() if pictures else None
            finally:
                write_line(lines, counts.record())
    if pictures:
        pictures.require_all()
    return counts


def header(bundle: Bundle, inspector: Inspector, uri: str, begun: datetime) -> dict[str, object]:
    """The first line: which bundle judges, with what, and what it promises."""
    return {
        "type": "header",
        "schema": 1,
        "begun": begun.isoformat(timespec="microseconds"),
        "t_begun_ns": time.monotonic_ns(),
        "bundle": bundle.sha256,
        "engine": inspector.engine.name,
        "precision": bundle.manifest.precision,
        "threshold": bundle.manifest.limits.threshold,
        "review_below": bundle.manifest.limits.review_below,
        "guarantee": bundle.manifest.guarantee,
        "source": readable(uri),
    }


def _drawing(frame: Frame, inspection: Inspection, limits: Limits) -> Callable[[], Image]:
    """Draws the verdict on a copy of the frame: a camera wants its memory back."""
    kept = replace(frame, pixels=np.array(frame.pixels))
    return lambda: overlay(kept, inspection, limits)


def _until(stop: threading.Event | None, source: Iterator[Frame]) -> Iterator[Frame]:
    for frame in source:
        yield frame
        del frame  # a camera's own memory, wanted back before the next is waited for
        if stop and stop.is_set():
            return
