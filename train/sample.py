"""A sample: one inspected part, its image and what is known of its defects."""

from dataclasses import dataclass
from pathlib import Path

from train.drawing import Drawing

SPLITS = ("train", "val", "test")
GOOD = "good"
NO_DEFECTS = {"", GOOD, "ok", "normal"}  # as the name of a class, in small letters
DEFECT = "defect"


@dataclass(frozen=True)
class Sample:
    """One inspected part: an image, its truth, and what it must not be separated from.

    A defective sample without a drawing is known as defective, not where. `split` is empty where
    the dataset does not say.
    """

    name: str
    image: Path
    drawing: Drawing | None
    defective: bool
    kind: str
    split: str
    group: str


def numbered_classes(n: int) -> tuple[str, ...]:
    """Names for `n` classes that have none."""
    return tuple(f"class {index}" for index in range(1, n + 1))


@dataclass(frozen=True)
class Listing:
    """What a reader found: index k of a drawing, from 1, is the k-th of `class_names`."""

    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
