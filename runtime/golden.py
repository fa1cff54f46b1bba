"""Golden images: a few samples in a bundle, and the verdicts that every engine must give them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineError, ManifestError, QualityError
from runtime.frame import Frame
from runtime.images import read_image
from runtime.inspection import Inspection, Inspector, foreground
from runtime.manifest import MEND, Bundle
from runtime.record import read_record
from runtime.sources import frame_of_image
from runtime.spec import Limits
from runtime.verdict import Answer

SCHEMA = 1
FOLDER, VERDICTS, TRUTH = "golden", "verdicts.json", "truth"
MOST_LOST_IOU = 0.05  # of a few images; parity allows 0.01, of the whole validation set


@dataclass(frozen=True)
class GoldenVerdict:
    """What one golden image must get, and the `iou` that its mask had with the file `truth`."""

    file: str
    verdict: Answer
    score: float
    truth: str | None = None
    iou: float | None = None


@dataclass(frozen=True)
class Golden:
    """The content of `golden/verdicts.json`."""

    schema: int
    images: tuple[GoldenVerdict, ...]


@dataclass(frozen=True)
class GoldenCheck:
    """How many golden images got each verdict, and how far a score lay off at most.

    `lost_iou` is how far the masks' mean IoU fell; None where no true mask is on record.
    """

    verdicts: Counter[Answer]
    largest_difference: float
    lost_iou: float | None


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
        EngineError: the device failed.
        QualityError: one gets another verdict, or their masks are not what they were.
    """
    verdicts: Counter[Answer] = Counter()
    largest = 0.0
    lost: list[float] = []
    for frame, image in golden_frames(bundle):
        inspection = inspector.inspect(frame)
        found = inspection.verdict
        if found.verdict is Answer.UNKNOWN:
            raise inspection.end or EngineError(f"{image.file}: {found.reason}")
        if found.verdict is not image.verdict:
            raise QualityError(
                f"{bundle.root / FOLDER / image.file}: got {found.verdict.value}, score "
                f"{found.score}, expected {image.verdict.value}, score {image.score:.4f}: "
                f"{inspector.engine.name} does not compute what the bundle was proven with; {MEND}"
            )
        verdicts[found.verdict] += 1
        largest = max(largest, abs((found.score or 0.0) - image.score))
        if image.truth and image.iou is not None:
            truth = read_image(bundle.root / FOLDER / image.truth, 1) > 0
            lost.append(image.iou - iou(inspection, truth, inspector.limits))
    lost_iou = fmean(lost) if lost else None
    if lost_iou is not None and lost_iou > MOST_LOST_IOU:
        raise QualityError(
            f"{bundle.root / FOLDER}: the masks' mean IoU fell by {lost_iou:.3f}, limit "
            f"{MOST_LOST_IOU}: {inspector.engine.name} does not draw what the bundle was proven "
            f"with; {MEND}"
        )
    return GoldenCheck(verdicts, largest, lost_iou)


def iou(inspection: Inspection, truth: npt.NDArray[np.bool_], limits: Limits) -> float:
    """Intersection over union of what was drawn, of any class, and `truth` (H, W)."""
    if inspection.canvas is None:
        return 0.0
    drawn = foreground(inspection.canvas, truth.shape[::-1], limits).any(axis=0)
    return float((drawn & truth).sum() / (drawn | truth).sum())


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
