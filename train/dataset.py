"""Reads datasets in the layouts that people have: which image is a sample of what, where."""

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from runtime.errors import DataError
from runtime.images import IMAGE_SUFFIXES, Image, read_image, readable, require_outside
from runtime.record import write_atomically
from train.division import leaks, with_splits
from train.drawing import MAX_CLASSES, Relabelled, is_turned_unseen
from train.readers import FORMATS, format_of
from train.readers.table import refuse_doubles, rows_of
from train.sample import DEFECT, NO_DEFECTS, SPLITS, Sample

SPLITS_FILE = "splits.csv"
ALL = "all"
READ_WHOLE = frozenset({"labelme", "yolo"})  # layouts in which every image below the folder counts


@dataclass(frozen=True)
class Dataset:
    """Samples in a fixed order, and a digest that changes when the list does.

    A drawing's index k is the k-th of `class_names`, from 1.
    """

    root: Path
    layout: str
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    digest: str
    split_was_made: bool = False

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of the split `name`, or `all`.

        Raises:
            DataError: the split is unknown or empty.
        """
        chosen = tuple(sample for sample in self.samples if name in {sample.split, ALL})
        if not chosen:
            have = sorted({sample.split for sample in self.samples})
            if name not in SPLITS:
                raise DataError(
                    f"{self.root}: split '{name}' is unknown; name one of {have}, or {ALL}"
                )
            raise DataError(
                f"{self.root}: split '{name}' is empty, the set has {have}; put samples there"
            )
        return chosen

    def require_unchanged(self, digest: str, where: Path) -> None:
        """Refuse a set whose split was made here, if it is not the one with this `digest`.

        And any set that has samples in another split than `where` was taught them, if it says so.

        Raises:
            DataError: what was learned may have come, or came, into another split.
        """
        if self.split_was_made and self.digest != digest:
            raise DataError(
                f"{self.root}: has no split of its own, and is not as {where} was taught it, so "
                f"what was learned may now be in another split; put {where / SPLITS_FILE} into the "
                f"folder, with a line for each new image, or take --split {ALL} of a new set"
            )
        was = _learned_by(where)
        moved = [s.name for s in self.samples if was.get(s.name, "test") not in {"test", s.split}]
        if moved:
            raise DataError(
                f"{self.root}: {len(moved)} samples that {where} learned are in another split now, "
                f"such as '{moved[0]}'; give them back the splits of {where / SPLITS_FILE}, or "
                f"take --split {ALL} of a new set"
            )

    def require_outside(self, flag: str, path: Path) -> None:
        """Refuse a place for pictures where this set would read them.

        Raises:
            DataError: it is one.
        """
        if self.layout in READ_WHOLE:
            require_outside(flag, path, self.root)

    def taught(self, class_names: Sequence[str]) -> "Dataset":
        """The same set in the classes of a model: `("defect",)` is any class, else by name.

        Raises:
            DataError: a class of the set is unknown to the model.
        """
        if tuple(class_names) == self.class_names:
            return self
        if tuple(class_names) == (DEFECT,):
            indices = (0, *(1 for _ in self.class_names))
        elif not any(sample.defective for sample in self.samples):
            return replace(self, class_names=tuple(class_names))
        else:
            indices = (0, *(_index(self.root, class_names, name) for name in self.class_names))
        samples = tuple(
            replace(s, drawing=Relabelled(s.drawing, indices)) if s.drawing else s
            for s in self.samples
        )
        return replace(self, samples=samples, class_names=tuple(class_names))


def read_dataset(source: Path | str) -> Dataset:
    """The dataset `PATH` or `PATH::format`; without a format, that which is found there.

    Raises:
        DataError: no known layout, a missing file, a wrong field, or a group in two splits.
    """
    dataset = list_dataset(source)
    for problem in leaks(dataset.samples):
        raise DataError(f"{dataset.root}: {problem}")
    return dataset


def list_dataset(source: Path | str) -> Dataset:
    """As `read_dataset`, but groups may lie in two splits.

    Raises:
        DataError: as there.
    """
    path, _, layout = str(source).partition("::")
    root = Path(path)
    if layout and layout not in FORMATS:
        raise DataError(f"{source}: format '{layout}' is unknown; expected one of {list(FORMATS)}")
    with _readable(root):
        return _listed(root, layout or format_of(root))


def write_splits(path: Path, samples: Sequence[Sample], run: Path | None = None) -> None:
    """Write which sample is in which split; put into the dataset's folder, the file is heeded.

    With those that `run` was taught and that are no longer among `samples`.
    """
    splits = (_learned_by(run) if run else {}) | {s.name: s.split for s in samples}
    text = io.StringIO()
    csv.writer(text).writerows([("file", "split"), *splits.items()])
    write_atomically(path, text.getvalue().encode())


def read_mask(sample: Sample, shape: tuple[int, int]) -> Image:
    """The class index of every pixel of `sample`, (H, W) = `shape`; zeros where nothing is drawn.

    Raises:
        DataError: unreadable, or of another size than the image.
    """
    if sample.drawing is None or not sample.defective:
        return np.zeros(shape, np.uint8)
    return sample.drawing.draw(shape)


def check_sample(sample: Sample) -> None:
    """Refuse a sample that cannot be learned from.

    Raises:
        DataError: the first of `problems`.
    """
    for problem in problems(sample):
        raise DataError(problem)


def problems(sample: Sample) -> Iterator[str]:
    """What is wrong with the files of `sample`, a sentence each."""
    try:
        image = read_image(sample.image, channels=1)
        if sample.drawing is None:
            return
        drawn = sample.drawing.draw((image.shape[0], image.shape[1])).any()
    except DataError as error:
        yield str(error)
        return
    is_mask = sample.drawing.file().suffix.lower() in IMAGE_SUFFIXES
    if drawn and is_mask and is_turned_unseen(sample.image):
        yield (
            f"{sample.image}: is turned when it is read, by its EXIF orientation, its mask is not; "
            "save the image upright, and draw the mask on that"
        )
    if sample.defective and not drawn:
        yield (
            f"{sample.drawing.file()}: '{sample.name}' is labelled defective, but nothing is "
            "drawn; draw the defect, label the sample good, or take the mask out"
        )
    elif drawn and not sample.defective:
        yield (
            f"{sample.drawing.file()}: '{sample.name}' is labelled good, but a defect is drawn; "
            "label it defective, or take the mask out"
        )


def largest_defect_px(sample: Sample) -> int:
    """How many pixels the largest connected defect of `sample` has; 0 where none is drawn.

    Raises:
        DataError: the image or the mask is unreadable.
    """
    if sample.drawing is None or not sample.defective:
        return 0
    height, width = read_image(sample.image, channels=1).shape
    drawn = (read_mask(sample, (height, width)) > 0).astype(np.uint8)
    pieces = cv2.connectedComponentsWithStats(drawn)[2][1:]  # without the background
    return int(pieces[:, cv2.CC_STAT_AREA].max(initial=0))


def _listed(root: Path, layout: str) -> Dataset:
    listing = FORMATS[layout].read(root)
    for sample in listing.samples:
        _require_name_in_utf8(root, sample.name)
        for needed in filter(None, (sample.image, sample.drawing and sample.drawing.file())):
            if not needed.is_file():
                raise DataError(
                    f"{needed}: is missing, though sample '{sample.name}' names it; "
                    "restore the file or take out the sample"
                )
    if not listing.samples:
        raise DataError(f"{root}: holds no sample in the layout {layout}; name the folder above it")
    if len(listing.class_names) > MAX_CLASSES:
        raise DataError(
            f"{root}: has {len(listing.class_names)} classes, at most {MAX_CLASSES} are possible; "
            "give kinds of defects that look alike one name"
        )
    for name in listing.class_names:
        if name.strip().lower() in NO_DEFECTS:
            raise DataError(
                f"{root}: a class of defects is called '{name}'; give it the name of a defect, or "
                "take it out"
            )
        if listing.class_names.count(name) > 1:
            raise DataError(f"{root}: two classes of defects are called '{name}'; rename one")
    samples = _with_written_splits(root, listing.samples)
    divided = with_splits(samples)
    return Dataset(root, layout, divided, listing.class_names, _digest(divided), divided != samples)


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        asked = Path(error.filename or root)
        place = next(path for path in (asked, *asked.parents) if os.path.lexists(path))
        raise DataError(
            f"{place}: cannot be read ({error.strerror}), so what is there would be passed over; "
            f"let this user read all of {root}, or take it out"
        ) from error


def _require_name_in_utf8(root: Path, name: str) -> None:
    """Records are UTF-8; a file that an old archive named otherwise has no name in them."""
    if readable(name) != name:
        raise DataError(f"{root}: the name '{readable(name)}' is no UTF-8; rename the file")


def _index(root: Path, class_names: Sequence[str], name: str) -> int:
    if name not in class_names:
        raise DataError(
            f"{root}: class '{name}' is unknown to the model, which was taught "
            f"{list(class_names)}; train with it, or take its samples out"
        )
    return list(class_names).index(name) + 1


def _learned_by(where: Path) -> dict[str, str]:
    """The split of each sample that a run or bundle knew, as far as it says so."""
    path = where / SPLITS_FILE
    return _splits_in(path) if path.is_file() else {}


def _splits_in(path: Path) -> dict[str, str]:
    rows = rows_of(path, ("file", "split"))
    refuse_doubles(path, rows, "keep the one by which it was learned")
    return {row["file"]: row["split"] for _, row in rows}


def _with_written_splits(root: Path, samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    path = root / SPLITS_FILE
    if not path.is_file():
        return samples
    written = _splits_in(path)
    if unknown := written.keys() - {sample.name for sample in samples}:
        raise DataError(
            f"{path}: {len(unknown)} of {len(written)} lines name no image of the set, such as "
            f"'{min(unknown)}'; restore it, or take its line out"
        )
    for sample in samples:
        if written.get(sample.name) not in SPLITS:
            raise DataError(
                f"{path}: split of '{sample.name}' is {written.get(sample.name)!r}, expected one "
                f"of {SPLITS}; give it a line"
            )
    return tuple(replace(sample, split=str(written[sample.name])) for sample in samples)


def _digest(samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        fields = (sample.name, str(sample.defective), sample.kind, sample.split, sample.group)
        digest.update("\0".join((*fields, str(sample.image.stat().st_size))).encode() + b"\n")
        digest.update(sample.drawing.digest() if sample.drawing else b"")
    return digest.hexdigest()
