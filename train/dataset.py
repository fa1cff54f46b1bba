"""Reads datasets: which image is a sample of what, with which mask, in which split.

Two layouts are known:

- `split.csv` with the columns `file,mask,label,class,split,group` (more columns are passed over);
  label 1 = defective; `group` = images that show one object;
- `images/` and `masks/`, paired by path without suffix; no mask, or an empty one, means good.
  `images/train`, `images/val`, `images/test` give the split; without them it is made by name.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from runtime.errors import DataError
from runtime.images import IMAGE_SUFFIXES, Image, read_image

SPLITS = ("train", "val", "test")
GOOD = "good"
COLUMNS = ("file", "mask", "label", "class", "split", "group")


@dataclass(frozen=True)
class Sample:
    """One inspected part: an image, its truth, and what it must not be separated from."""

    name: str
    image: Path
    mask: Path | None
    defective: bool
    kind: str
    split: str
    group: str


@dataclass(frozen=True)
class Dataset:
    """Samples in a fixed order, and a digest that changes when the list does."""

    root: Path
    samples: tuple[Sample, ...]
    digest: str

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of the split `name`.

        Raises:
            DataError: the split is unknown or empty.
        """
        chosen = tuple(sample for sample in self.samples if sample.split == name)
        if not chosen:
            have = sorted({sample.split for sample in self.samples})
            raise DataError(
                f"{self.root}: split '{name}' is empty, the set has {have}; put samples there"
            )
        return chosen


def read_dataset(root: Path) -> Dataset:
    """The dataset in the folder `root`, in the layout that is found there.

    Raises:
        DataError: no known layout, a missing file, or a wrong field.
    """
    if (root / "split.csv").is_file():
        samples = _read_split_csv(root)
    elif (root / "images").is_dir():
        samples = _read_folder_pair(root)
    else:
        raise DataError(f"{root}: no dataset; expected split.csv, or the folders images and masks")
    for sample in samples:
        for path in filter(None, (sample.image, sample.mask)):
            if not path.is_file():
                raise DataError(
                    f"{path}: is missing, though sample '{sample.name}' names it; "
                    "restore the file or take out the sample"
                )
    _refuse_leaks(root, samples)
    return Dataset(root, samples, _digest(samples))


def _refuse_leaks(root: Path, samples: Iterable[Sample]) -> None:
    """What is tested must not have been learned: a group lies in one split."""
    split_of: dict[str, str] = {}
    for sample in samples:
        split = split_of.setdefault(sample.group, sample.split)
        if split != sample.split:
            raise DataError(
                f"{root}: group '{sample.group}' is in split {split} and, with '{sample.name}', in "
                f"{sample.split}; images of one object belong in one split"
            )


def read_mask(sample: Sample, shape: tuple[int, int]) -> Image:
    """The true mask of `sample` as uint8 0 or 255, (H, W) = `shape`; zeros for a good sample.

    Raises:
        DataError: unreadable, or of another size than the image.
    """
    if sample.mask is None or not sample.defective:
        return np.zeros(shape, np.uint8)
    mask = read_image(sample.mask, channels=1)
    if mask.shape != shape:
        height, width = mask.shape
        raise DataError(
            f"{sample.mask}: mask is {width}x{height}, its image is {shape[1]}x{shape[0]}; "
            "draw the mask on the image it belongs to"
        )
    truth: Image = np.where(mask > 0, 255, 0).astype(np.uint8)
    return truth


def check_sample(sample: Sample) -> None:
    """Refuse a sample that cannot be learned from.

    Raises:
        DataError: an unreadable image or mask, one of another size, or a defect that is not drawn.
    """
    image = read_image(sample.image, channels=1)
    if sample.defective and not read_mask(sample, (image.shape[0], image.shape[1])).any():
        raise DataError(
            f"{sample.image}: is labelled defective, but its mask is empty or absent; "
            "draw the defect, or label it 0"
        )


def defect_area_px(sample: Sample) -> int:
    """How many pixels of `sample` are defective.

    Raises:
        DataError: the mask is unreadable.
    """
    if sample.mask is None or not sample.defective:
        return 0
    return int(np.count_nonzero(read_image(sample.mask, channels=1)))


def require_both_labels(samples: Sequence[Sample], where: str) -> None:
    """Refuse samples that are all good or all defective.

    Raises:
        DataError: one of the two labels is absent.
    """
    defective = sum(sample.defective for sample in samples)
    for count, word in ((defective, "defective"), (len(samples) - defective, GOOD)):
        if count == 0:
            raise DataError(
                f"{where}: no {word} samples among {len(samples)}; a gate needs both, add some"
            )


def divide_by_group(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Divide `samples` in two, deterministically: a group stays whole, kinds are shared evenly.

    The first part chooses (checkpoint, ranges, mask threshold); the second, which chose nothing,
    may promise.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for members in sorted(groups.values(), key=_group_order):
        kind = _main_kind(members)
        smaller = min(parts, key=lambda part: (_count(part, kind), len(part)))
        smaller.extend(members)
    return parts


def _group_order(members: Sequence[Sample]) -> tuple[bool, int, str]:
    """Groups with defects first, so that the good ones level what came with them."""
    good = all(not sample.defective for sample in members)
    return good, -len(members), hashlib.sha256(members[0].group.encode()).hexdigest()


def _count(part: Sequence[Sample], kind: str) -> int:
    return sum(sample.kind == kind for sample in part)


def _main_kind(members: Iterable[Sample]) -> str:
    kinds = [sample.kind for sample in members]
    return max(sorted(set(kinds)), key=lambda kind: (kind != GOOD, kinds.count(kind)))


def _read_split_csv(root: Path) -> tuple[Sample, ...]:
    table = root / "split.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{table}: columns {missing} are missing; expected {list(COLUMNS)}")
            return tuple(_sample_of_row(root, table, reader.line_num, row) for row in reader)
    except UnicodeDecodeError as error:
        raise DataError(f"{table}: is no UTF-8 text ({error.reason}); save it as UTF-8") from error


def _sample_of_row(root: Path, table: Path, line: int, row: dict[str, str]) -> Sample:
    if row["label"] not in {"0", "1"}:
        raise DataError(f"{table}:{line}: label is '{row['label']}', expected 0 or 1")
    if row["split"] not in SPLITS:
        raise DataError(f"{table}:{line}: split is '{row['split']}', expected one of {SPLITS}")
    defective = row["label"] == "1"
    return Sample(
        name=row["file"],
        image=root / row["file"],
        mask=root / row["mask"] if row["mask"] else None,
        defective=defective,
        kind=row["class"] or ("defect" if defective else GOOD),
        split=row["split"],
        group=row["group"] or row["file"],
    )


def _read_folder_pair(root: Path) -> tuple[Sample, ...]:
    masks = {
        path.relative_to(root / "masks").with_suffix(""): path for path in _images(root / "masks")
    }
    samples = []
    for image in _images(root / "images"):
        key = image.relative_to(root / "images")
        mask = masks.get(key.with_suffix(""))
        defective = mask is not None and bool(read_image(mask, channels=1).any())
        samples.append(
            Sample(
                name=f"images/{key.as_posix()}",
                image=image,
                mask=mask,
                defective=defective,
                kind="defect" if defective else GOOD,
                split=key.parts[0] if key.parts[0] in SPLITS else "",
                group=key.as_posix(),
            )
        )
    if not samples:
        raise DataError(f"{root / 'images'}: holds no image; put the samples there")
    _refuse_orphans(masks, {sample.mask for sample in samples})
    without = [sample.name for sample in samples if not sample.split]
    if without and len(without) < len(samples):
        raise DataError(
            f"{root / without[0]}: lies in none of the folders {SPLITS}, others do; move it there"
        )
    return _split_by_name(samples) if without else tuple(samples)


def _refuse_orphans(masks: dict[Path, Path], paired: set[Path | None]) -> None:
    orphans = sorted(mask for mask in masks.values() if mask not in paired)
    if orphans:
        raise DataError(
            f"{orphans[0]}: no image has this mask's name, nor those of {len(orphans) - 1} others; "
            "name a mask as its image, or its defect would be taught as good"
        )


def _split_by_name(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Three in five for train, one for val, one for test, by the hash of the name alone.

    So a sample stays where it is when others come.
    """
    shares = ("train", "val", "train", "test", "train")

    def share(name: str) -> str:
        return shares[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(shares)]

    return tuple(replace(sample, split=share(sample.name)) for sample in samples)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _digest(samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        fields = (sample.name, str(sample.defective), sample.kind, sample.split, sample.group)
        digest.update("\0".join((*fields, str(sample.image.stat().st_size))).encode() + b"\n")
        digest.update(hashlib.sha256(sample.mask.read_bytes() if sample.mask else b"").digest())
    return digest.hexdigest()
