"""Evaluates a joint model on samples, by the very steps that the runtime takes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.errors import DataError, EngineError
from runtime.frame import Frame
from runtime.images import Image
from runtime.inspection import Inspector, Scored, foreground, open_tiles
from runtime.sources import frame_of_image
from runtime.spec import InputSpec, Limits
from runtime.tiling import Tile, mask_canvas, tiles
from train.contrast import contrast_to_noise
from train.dataset import largest_defect_px, read_mask
from train.metrics import Outcome, Overlap, overlap, seg_miou
from train.operating_point import (
    MAX_FALSE_REJECTS,
    best_recall_threshold,
    mask_limit_candidates,
)
from train.progress import progress
from train.sample import Sample

AS_GOOD = 0.001  # of Seg_mIoU


@dataclass(frozen=True)
class Prediction:
    """One sample with its truth, class indices (H, W), and what the networks said on every tile."""

    sample: Sample
    image: Image
    truth: Image
    spec: InputSpec
    tiles: Sequence[Tile]
    scores: npt.NDArray[np.float32]
    masks: dict[int, npt.NDArray[np.uint8]]

    @property
    def score(self) -> float:
        """The sample's score: the largest over its tiles and classes."""
        return float(self.scores.max())


def predictions(
    inspector: Inspector, samples: Sequence[Sample], spec: InputSpec
) -> Iterator[Prediction]:
    """The prediction for each sample in turn, with the mask of every tile, whatever its gate says.

    Raises:
        DataError: an image or mask that cannot be read.
        EngineError: the device failed.
    """
    for seq, sample in enumerate(samples):
        frame = frame_of_image(sample.image, spec.channels, seq, sample.name)
        image = np.asarray(frame.pixels)
        truth = read_mask(sample, (image.shape[0], image.shape[1]))
        scores, masks = [], {}
        for part in score_sample(inspector, sample, frame):
            scores.append(part.scores.copy())
            for tile in range(len(part.scores)):
                masks[part.first + tile] = inspector.engine.mask(part.skips, tile)
        placed = tiles(frame.size, spec.size, spec.fit, scale=spec.scale)
        yield Prediction(sample, image, truth, spec, placed, np.concatenate(scores), masks)


def score_sample(inspector: Inspector, sample: Sample, frame: Frame) -> Iterator[Scored]:
    """The frame of `sample` after the gate, as `Inspector.score` gives it.

    Raises:
        DataError: the image does not fit the network's input.
        EngineError: the device failed, or the score is not a number.
    """
    try:
        for scored in inspector.score(frame):
            if not np.isfinite(scored.scores).all():
                raise EngineError(
                    f"{sample.image}: the score is not a number; the training diverged, "
                    "train again with a lower --learning-rate"
                )
            yield scored
    except ValueError as error:
        raise DataError(f"{sample.image}: {error}") from error


def outcome(prediction: Prediction, limits: Limits) -> Outcome:
    """What became of one sample under `limits`."""
    sample, score = prediction.sample, prediction.score
    opened = open_tiles(prediction.scores, limits.threshold)
    found = found_mask(prediction, limits, list(prediction.masks))
    raw = overlap(prediction.truth, np.logical_or.reduce(found))
    return Outcome(
        name=sample.name,
        kind=sample.kind,
        group=sample.group,
        defective=sample.defective,
        drawn=sample.drawing is not None or not sample.defective,
        score=score,
        opened=bool(opened),
        raw=raw,
        gated=raw if len(opened) == len(prediction.masks) else _overlap(prediction, limits, opened),
        classes=tuple(
            overlap(prediction.truth == index, part) for index, part in enumerate(found, start=1)
        ),
        contrast=(
            contrast_to_noise(prediction.image, prediction.truth)
            if prediction.truth.any()
            else math.nan
        ),
    )


def sample_scores(inspector: Inspector, samples: Sequence[Sample], spec: InputSpec) -> list[float]:
    """The score of each sample, without drawing a mask.

    Raises:
        DataError, EngineError: as `score_sample`.
    """
    found = []
    for seq, sample in enumerate(progress(samples, "scoring")):
        frame = frame_of_image(sample.image, spec.channels, seq, sample.name)
        scored = score_sample(inspector, sample, frame)
        found.append(max(float(part.scores.max()) for part in scored))
    return found


def choose_mask_limits(
    inspector: Inspector, samples: Sequence[Sample], spec: InputSpec, threshold: float
) -> Limits:
    """Mask threshold and minimum area with the best gated Seg_mIoU on `samples`.

    Of those within a tenth of a point, the largest minimum area: specks weigh too little in a mean
    of IoUs to be chosen away, and nobody wants to see them. None would leave a sample without
    its largest defect.

    Gated, since a mask is seen only where the gate opens: its limits need not guard good samples.
    Samples whose defect is not drawn say nothing of it.
    """
    samples = [sample for sample in samples if sample.drawing or not sample.defective]
    areas = [area for sample in samples if (area := largest_defect_px(sample))]
    pairs = mask_limit_candidates(min(areas, default=0))
    overlaps: dict[tuple[float, float], list[Overlap]] = {pair: [] for pair in pairs}
    seen = predictions(inspector, samples, spec)
    for prediction in progress(seen, "choosing the mask's limits", len(samples)):
        opened = open_tiles(prediction.scores, threshold)
        for pair in pairs:
            overlaps[pair].append(_overlap(prediction, Limits(threshold, *pair), opened))
    scores = {pair: seg_miou(found) for pair, found in overlaps.items()}
    as_good = [pair for pair in pairs if scores[pair] >= max(scores.values()) - AS_GOOD]
    return Limits(threshold, *max(as_good, key=lambda pair: (pair[1], scores[pair])))


def choose_threshold(
    inspector: Inspector,
    deciding: Sequence[Sample],
    spec: InputSpec,
    max_false_rejects: float = MAX_FALSE_REJECTS,
) -> float:
    """The gate's threshold with the best recall on `deciding`; see `best_recall_threshold`.

    0, which every score reaches, where there are no good samples.
    """
    labels = [sample.defective for sample in deciding]
    if all(labels):
        return 0.0
    scores = sample_scores(inspector, deciding, spec)
    return best_recall_threshold(scores, labels, max_false_rejects)


def found_mask(
    prediction: Prediction, limits: Limits, chosen: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Where each class is found, (K, H, W), by the masks of the `chosen` tiles."""
    frame_size = (prediction.image.shape[1], prediction.image.shape[0])
    masks = {tile: prediction.masks[tile] for tile in chosen}
    classes = prediction.scores.shape[1]
    canvas = mask_canvas(frame_size, prediction.spec.size, prediction.tiles, masks, classes)
    return foreground(canvas, frame_size, limits)


def _overlap(prediction: Prediction, limits: Limits, chosen: Sequence[int]) -> Overlap:
    return overlap(prediction.truth, np.logical_or.reduce(found_mask(prediction, limits, chosen)))
