"""What a set must hold before a gate and masks can be learned from it."""

from collections.abc import Iterator, Sequence

from runtime.errors import DataError
from runtime.tiling import Fit
from train.dataset import Dataset
from train.division import divide_by_group
from train.sample import DEFECT, Sample


def lacking(dataset: Dataset) -> Iterator[str]:
    """A sentence for each part of `train` and `val` that lacks what is learned or chosen there.

    Every part needs defects, drawn ones; good samples too, or the gate always opens, unless the
    set has none at all. Of a split that is empty nothing is said.
    """
    without_good = all(sample.defective for sample in dataset.samples)
    for name, samples in _parts(dataset):
        defective = sum(sample.defective for sample in samples)
        if not defective:
            yield (
                f"no defective samples among the {len(samples)} of split {name}; add some, with "
                "their masks"
            )
        elif not any(sample.defective and sample.drawing for sample in samples):
            yield (
                f"no drawn defects among the {len(samples)} samples of split {name}: {defective} "
                "are defective, none is drawn (a box is no drawing); draw masks for some in train "
                "and in both halves of val"
            )
        if samples and defective == len(samples) and not without_good:
            yield (
                f"no good samples among the {len(samples)} samples of split {name}; a gate needs "
                "good ones beside the defective, add some"
            )


def _parts(dataset: Dataset) -> Iterator[tuple[str, Sequence[Sample]]]:
    training = [sample for sample in dataset.samples if sample.split == "train"]
    validation = [sample for sample in dataset.samples if sample.split == "val"]
    if training:
        yield "train", training
    if validation:
        yield from zip(
            ("val, first half", "val, second half"), divide_by_group(validation), strict=True
        )


def refuse_vague_labels(
    dataset: Dataset, training: Sequence[Sample], fit: Fit, *, classifier: bool
) -> None:
    """A label without a drawing needs a classifier, and must say of what class, of which tile.

    Raises:
        DataError: one does not; "defect" says no class where there are several.
    """
    names = dataset.class_names
    for sample in training:
        if sample.drawing or not sample.defective:
            continue
        if not classifier:
            raise DataError(
                f"{sample.image}: is labelled defective and not drawn; only a classifier learns "
                "from that: draw it, or train without --no-classifier"
            )
        if fit is Fit.TILE:
            raise DataError(
                f"{sample.image}: is labelled defective and not drawn, so with --fit tile nobody "
                "knows which tile shows it; draw it, or use another --fit"
            )
        if len(names) > 1 and (sample.kind == DEFECT or sample.kind not in names):
            raise DataError(
                f"{sample.image}: is labelled '{sample.kind}' and not drawn, which does not say "
                f"of which class of {list(names)} it is; draw it, or name its class"
            )
