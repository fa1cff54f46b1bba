"""The folder: images, masks, split.csv and the settings, renamed into place once it is whole."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import DataError
from train.synthesize.plan import GOOD, Plan, set_plans, strip_plans
from train.synthesize.sample import Sample, render
from train.synthesize.settings import SynthesisSettings

COLUMNS = ("file", "mask", "label", "class", "split", "group", "contrast")
SCHEMA = 1

Progress = Callable[[int, int], None]


def synthesize(out: Path, settings: SynthesisSettings, on_progress: Progress | None = None) -> None:
    """Write a set, or a strip where the settings name its frames, into the new folder `out`.

    `on_progress` is called after each image with the images done and those to do.

    Raises:
        DataError: `out` exists, or cannot be written; nothing is left behind then.
    """
    strip = settings.frames is not None
    samples = strip_frames(settings) if strip else set_samples(settings)
    total = settings.frames or settings.samples
    with _renamed_into_place(out) as folder:
        rows = []
        for number, sample in enumerate(samples):
            rows.append(_written(folder, _stem(number, total), sample))
            if on_progress:
                on_progress(number + 1, total)
        _write_table(folder / "split.csv", rows)
        _write_settings(folder / "synthesis.json", settings)


def set_samples(settings: SynthesisSettings) -> Iterator[Sample]:
    """Draw the samples of a set, one after another."""
    return map(render, set_plans(settings))


def strip_frames(settings: SynthesisSettings) -> Iterator[Sample]:
    """Draw the `settings.frames` frames of a strip in running order; each begins where one ends."""
    return map(render, strip_plans(settings))


@contextmanager
def _renamed_into_place(out: Path) -> Iterator[Path]:
    """Lend a folder beside `out` that becomes `out` if all goes well, and vanishes if not."""
    if out.exists():
        raise DataError(
            f"{out}: expected a new folder, but it exists; remove it or give another name"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
            whole = Path(beside) / out.name
            whole.mkdir()
            yield whole
            whole.rename(out)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error}); free space or choose another folder"
        ) from error


def _written(folder: Path, stem: str, sample: Sample) -> dict[str, str]:
    plan = sample.plan
    image, mask = (f"{kind}/{plan.split}/{stem}.png" for kind in ("images", "masks"))
    _write_png(folder / image, sample.image)
    _write_png(folder / mask, sample.mask)
    return dict(zip(COLUMNS, (image, mask, *_truth(plan, sample.contrast)), strict=True))


def _truth(plan: Plan, contrast: float) -> tuple[str, ...]:
    label = "0" if plan.name == GOOD else "1"
    return label, plan.name, plan.split, plan.group, f"{contrast:.2f}"


def _stem(number: int, total: int) -> str:
    """Name the image so that names sort in running order."""
    return f"{number:0{max(4, len(str(total - 1)))}d}"


def _write_png(file: Path, grey: NDArray[np.uint8]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(".png", grey)
    file.write_bytes(encoded.tobytes())


def _write_table(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as text:
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _write_settings(file: Path, settings: SynthesisSettings) -> None:
    saved = {"schema": SCHEMA, **asdict(settings)}
    file.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
