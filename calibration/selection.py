"""Chooses the calibration images: mostly defective, of every kind, size and contrast.

INT8 ranges are taken from what the calibration images make the network hold. Defects are rare, so
a random choice hardly shows them, and it is their activations that get clipped.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from calibration.settings import MOST_IMAGES
from runtime.errors import CalibrationError
from runtime.images import read_image
from train.contrast import contrast_to_noise
from train.dataset import read_mask
from train.sample import Sample

SCHEMA = 1
LEVELS = ("low", "middle", "high")
Embedding = npt.NDArray[np.float64]
Item = TypeVar("Item")


@dataclass(frozen=True)
class CalibrationImage:
    """One chosen image, and why."""

    file: str
    sha256: str
    stratum: str
    reason: str


@dataclass(frozen=True)
class CalibrationSet:
    """The content of `calibration.json`."""

    schema: int
    data_digest: str
    preprocess_digest: str
    defect_share: float
    images: tuple[CalibrationImage, ...]

    @property
    def digest(self) -> str:
        """The sha256 over the images' own, in order."""
        return hashlib.sha256("".join(image.sha256 for image in self.images).encode()).hexdigest()


def choose(
    samples: Sequence[Sample], embeddings: Embedding, n: int, defect_share: float
) -> list[tuple[Sample, str, str]]:
    """`n` samples, each with its stratum and the reason for it; the same input, the same choice.

    `embeddings` is (len(samples), D). Kinds take turns, and within a kind its strata; within one, a
    group that has given no image comes before one that has, then what is farthest from all that
    was chosen.

    Raises:
        CalibrationError: there are too few defective or too few good samples, or an embedding is
            not finite.
    """
    _require_finite(embeddings, samples)
    strata = _strata(samples)
    n_defective = round(n * defect_share)
    wanted = {True: n_defective, False: n - n_defective}
    for defective, count in wanted.items():
        have = sum(sample.defective == defective for sample in samples)
        if have < count:
            word = "defective" if defective else "good"
            raise CalibrationError(
                f"split train has {have} {word} samples, {count} wanted for calibration; "
                "add some, or insist with a smaller --images"
            )
    sides: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}
    for name, members in strata.items():
        sides[samples[members[0]].defective][name] = members
    chosen: list[tuple[int, str, str]] = []
    distance = np.full(len(samples), np.inf)
    for defective, count in wanted.items():
        for name in _in_turn(sides[defective], samples)[:count]:
            index, reason = _farthest(sides[defective][name], samples, distance, chosen)
            sides[defective][name].remove(index)
            chosen.append((index, name, reason))
            from_it = np.linalg.norm(embeddings - embeddings[index], axis=1)
            distance = np.minimum(distance, from_it)
    return [(samples[index], name, reason) for index, name, reason in chosen]


def most_images(samples: Sequence[Sample], defect_share: float, most: int = MOST_IMAGES) -> int:
    """How many images `choose` may be asked for: `most`, or as many as have that share."""
    defective = sum(sample.defective for sample in samples)
    for count in range(most, 0, -1):
        n_defective = round(count * defect_share)
        if n_defective <= defective and count - n_defective <= len(samples) - defective:
            return count
    return most


def record_of(path: Path, name: str, stratum: str, reason: str) -> CalibrationImage:
    """The entry of `calibration.json` for the image in `path`."""
    return CalibrationImage(name, hashlib.sha256(path.read_bytes()).hexdigest(), stratum, reason)


def _require_finite(embeddings: Embedding, samples: Sequence[Sample]) -> None:
    for embedding, sample in zip(embeddings, samples, strict=True):
        if not np.isfinite(embedding).all():
            raise CalibrationError(
                f"{sample.image}: the encoder's features are not all numbers; the training "
                "diverged, train again with a lower --learning-rate"
            )


def _strata(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Indices by kind, size and contrast; size and contrast in thirds over all that are drawn."""
    drawn = [index for index, sample in enumerate(samples) if sample.defective and sample.drawing]
    measured = np.array([_measure(samples[index]) for index in drawn]).reshape(-1, 2)
    cuts = np.quantile(measured, (1 / 3, 2 / 3), axis=0) if drawn else np.zeros((2, 2))
    strata: dict[str, list[int]] = defaultdict(list)
    for index, values in zip(drawn, measured, strict=True):
        size, contrast = (LEVELS[int(n)] for n in (values > cuts).sum(axis=0))
        strata[f"{samples[index].kind}, size {size}, contrast {contrast}"].append(index)
    for index, sample in enumerate(samples):
        if not sample.defective:
            strata[sample.kind].append(index)
        elif not sample.drawing:
            strata[f"{sample.kind}, not drawn"].append(index)
    return dict(sorted(strata.items()))


def _measure(sample: Sample) -> tuple[float, float]:
    """Share of the image that is defective, and contrast to noise; 0 where it is unknown."""
    image = read_image(sample.image, channels=1)
    mask = read_mask(sample, (image.shape[0], image.shape[1]))
    contrast = contrast_to_noise(image, mask)
    return np.count_nonzero(mask) / mask.size, 0.0 if math.isnan(contrast) else contrast


def _in_turn(members: dict[str, list[int]], samples: Sequence[Sample]) -> list[str]:
    """Names of strata, each as often as it has members: kinds take turns, in a kind its strata."""
    kinds: dict[str, list[list[str]]] = defaultdict(list)
    for name, indices in members.items():
        kinds[samples[indices[0]].kind].append([name] * len(indices))
    return _turns([_turns(strata) for strata in kinds.values()])


def _turns(rows: Sequence[Sequence[Item]]) -> list[Item]:
    """The first of each, then the second of each that has one, and so on."""
    columns = zip_longest(*([[item] for item in row] for row in rows), fillvalue=())
    return [item for column in columns for cell in column for item in cell]


def _farthest(
    candidates: Sequence[int],
    samples: Sequence[Sample],
    distance: npt.NDArray[np.float64],
    chosen: Sequence[tuple[int, str, str]],
) -> tuple[int, str]:
    used = {samples[index].group for index, _, _ in chosen}
    fresh = [index for index in candidates if samples[index].group not in used]
    best = min(fresh or candidates, key=lambda index: (-distance[index], samples[index].name))
    group = "first of its group" if fresh else "its group has given one before"
    far = f", {distance[best]:.2f} from the nearest chosen" if np.isfinite(distance[best]) else ""
    return best, group + far
