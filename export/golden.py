"""Chooses the golden images of a bundle (`runtime.golden`) from validation."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from runtime.golden import SCHEMA, VERDICTS, Golden, GoldenVerdict
from runtime.inspection import Inspector
from runtime.record import write_record
from runtime.sources import frame_of_image
from runtime.verdict import Answer, Verdict
from train.sample import Sample


def write_golden(
    folder: Path, inspector: Inspector, samples: Sequence[Sample], channels: int, each: int = 4
) -> None:
    """Copy the `each` clearest defective and good of `samples`, and write their verdicts.

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
        images.append(GoldenVerdict(name, verdict.verdict, verdict.score or 0.0))
    write_record(folder / VERDICTS, Golden(SCHEMA, tuple(images)))
