"""Chooses the golden images of a bundle (`runtime.golden`) from validation."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from runtime.golden import SCHEMA, VERDICTS, Golden, GoldenVerdict
from runtime.inspection import Inspector
from runtime.record import write_record
from runtime.sources import frame_of_image
from runtime.verdict import Answer
from train.sample import Sample


def write_golden(
    folder: Path, inspector: Inspector, samples: Sequence[Sample], channels: int, each: int = 4
) -> None:
    """Copy the `each` clearest defective and good of `samples`, and write their verdicts.

    Clearest: farthest from the threshold, so that another engine's rounding changes no verdict.
    """
    folder.mkdir()
    scored = [
        (inspector.inspect(frame_of_image(s.image, channels, 0, s.name)).verdict, s)
        for s in samples
    ]
    threshold = inspector.limits.threshold
    chosen = []
    for defective, answer in ((True, Answer.NG), (False, Answer.OK)):
        right = [
            (verdict, sample)
            for verdict, sample in scored
            if sample.defective == defective and verdict.verdict is answer
        ]
        right.sort(key=lambda pair: (-abs((pair[0].score or 0.0) - threshold), pair[1].name))
        chosen += right[:each]
    images = []
    for number, (verdict, sample) in enumerate(chosen):
        name = f"{number:02d}{sample.image.suffix}"
        shutil.copyfile(sample.image, folder / name)
        images.append(GoldenVerdict(name, verdict.verdict, verdict.score or 0.0))
    write_record(folder / VERDICTS, Golden(SCHEMA, tuple(images)))
