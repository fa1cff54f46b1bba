"""Golden images: a few samples in a bundle, and the verdicts that every engine must give them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import ManifestError, QualityError
from runtime.frame import Frame
from runtime.inspection import Inspector
from runtime.manifest import MEND, Bundle
from runtime.record import read_record
from runtime.sources import frame_of_image
from runtime.verdict import Answer

SCHEMA = 1
FOLDER, VERDICTS = "golden", "verdicts.json"


@dataclass(frozen=True)
class GoldenVerdict:
    """What one golden image must get."""

    file: str
    verdict: Answer
    score: float


@dataclass(frozen=True)
class Golden:
    """The content of `golden/verdicts.json`."""

    schema: int
    images: tuple[GoldenVerdict, ...]


@dataclass(frozen=True)
class GoldenCheck:
    """How many golden images got each verdict, and how far a score lay off at most."""

    verdicts: Counter[Answer]
    largest_difference: float


def has_golden(bundle: Bundle) -> bool:
    """Whether the bundle has golden images."""
    return f"{FOLDER}/{VERDICTS}" in bundle.manifest.files


def golden_frames(bundle: Bundle) -> Iterator[tuple[Frame, GoldenVerdict]]:
    """The golden images, and what each must get.

    Raises:
        ManifestError: the bundle has none, or one cannot be read.
    """
    folder = bundle.root / FOLDER
    golden = read_record(folder / VERDICTS, Golden, SCHEMA, ManifestError, MEND)
    for seq, image in enumerate(golden.images):
        channels = bundle.manifest.input.channels
        yield frame_of_image(folder / image.file, channels, seq, image.file), image


def check_golden(bundle: Bundle, inspector: Inspector) -> GoldenCheck:
    """Judge the golden images of `bundle` again.

    Raises:
        ManifestError: the bundle has none, or one cannot be read.
        QualityError: one gets another verdict.
    """
    verdicts: Counter[Answer] = Counter()
    largest = 0.0
    for frame, image in golden_frames(bundle):
        found = inspector.inspect(frame).verdict
        if found.verdict is not image.verdict:
            got = found.reason or f"score {found.score}"
            raise QualityError(
                f"{bundle.root / FOLDER / image.file}: got {found.verdict.value}, {got}, expected "
                f"{image.verdict.value}, score {image.score:.4f}: {inspector.engine.name} does not "
                f"compute what the bundle was proven with; {MEND}"
            )
        verdicts[found.verdict] += 1
        largest = max(largest, abs((found.score or 0.0) - image.score))
    return GoldenCheck(verdicts, largest)


def require_telling(check: GoldenCheck, bundle: Bundle) -> None:
    """Refuse golden images that an engine which finds nothing would pass.

    Raises:
        QualityError: none of them opens the gate.
    """
    if not check.verdicts.keys() - {Answer.OK}:
        raise QualityError(
            f"{bundle.root / FOLDER}: no golden image opens the gate, so an engine that finds "
            "nothing would pass; export with validation samples whose defects the model finds"
        )
