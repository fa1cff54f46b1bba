"""Chooses the golden images of a bundle (`runtime.golden`) from validation."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from runtime.golden import SCHEMA, TRUTH, VERDICTS, Golden, GoldenVerdict, iou
from runtime.images import write_png
from runtime.inspection import Inspector
from runtime.record import write_record
from runtime.sources import frame_of_image
from runtime.verdict import Answer, Verdict
from train.dataset import read_mask
from train.sample import Sample


def write_golden(
    folder: Path, inspector: Inspector, samples: Sequence[Sample], channels: int, each: int = 4
) -> bool:
    """Copy the `each` clearest defective and good of `samples`, and write what they get.

    Whether one of them opens the gate: without, an engine that finds nothing would pass.

    Clearest: farthest from any limit, so that another engine's rounding changes no verdict.
    """
    folder.mkdir()
    scored = [
        (inspector.inspect(frame_of_image(s.image, channels, 0, s.name)).verdict, s)
        for s in samples
    ]
    limits = inspector.limits

    def nearness(scored: tuple[Verdict, Sample]) -> tuple[float, str]:
        score = scored[0].score or 0.0
        borders = (limits.threshold, limits.review_below or limits.threshold)
        return -min(abs(score - border) for border in borders), scored[1].name

    chosen = []
    for defective, answers in ((True, {Answer.NG, Answer.REVIEW}), (False, {Answer.OK})):
        right = [
            (verdict, sample)
            for verdict, sample in scored
            if sample.defective == defective and verdict.verdict in answers
        ]
        chosen += sorted(right, key=nearness)[:each]
    images = []
    for number, (verdict, sample) in enumerate(chosen):
        name = f"{number:02d}{sample.image.suffix}"
        shutil.copyfile(sample.image, folder / name)
        golden = GoldenVerdict(name, verdict.verdict, verdict.score or 0.0)
        images.append(_with_truth(golden, folder, inspector, sample, channels))
    write_record(folder / VERDICTS, Golden(SCHEMA, tuple(images)))
    return any(image.verdict is not Answer.OK for image in images)


def _with_truth(
    golden: GoldenVerdict, folder: Path, inspector: Inspector, sample: Sample, channels: int
) -> GoldenVerdict:
    """With where the defect is, in a file of its own, and how well it was drawn, if it is known."""
    frame = frame_of_image(folder / golden.file, channels, 0, golden.file)
    width, height = frame.size
    truth = read_mask(sample, (height, width)) > 0
    if not truth.any():
        return golden
    name = f"{TRUTH}/{Path(golden.file).stem}.png"
    (folder / TRUTH).mkdir(exist_ok=True)
    write_png(folder / name, truth.astype(np.uint8) * 255)
    found = iou(inspector.inspect(frame), truth, inspector.limits)
    return replace(golden, truth=name, iou=round(found, 4))
