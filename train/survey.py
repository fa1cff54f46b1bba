"""What `inspect-data` shows: what a dataset holds, and what is wrong with it."""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runtime.errors import DataError
from runtime.images import Image, read_image, require_outside, write_png
from runtime.record import require_place, write_atomically
from train.contrast import CLEARLY_VISIBLE, contrast_to_noise
from train.dataset import Dataset, list_dataset, problems, read_mask
from train.division import leaks
from train.lessons import lacking
from train.progress import progress
from train.sample import GOOD, SPLITS, Sample

PERCENTILES = (10, 50, 90)
SHEET_ROWS, SHEET_COLUMNS, SHEET_SIDE_PX = 8, 10, 128
OUTLINE = (40, 40, 230)

console = Console()


@dataclass(frozen=True)
class Look:
    """What one readable sample looks like.

    Without a drawing, area, width and contrast are 0. `contrast` is NaN where the defect fills the
    image; `classes` are the indices that are drawn.
    """

    sample: Sample
    pixels_sha256: str
    size: tuple[int, int]
    area_px: int
    width_px: float
    classes: tuple[int, ...]
    contrast: float

    @property
    def area_share(self) -> float:
        """The share of the image that is defective."""
        return self.area_px / (self.size[0] * self.size[1])


@dataclass(frozen=True)
class Survey:
    """A dataset in numbers; distributions as percentiles over the samples with a drawn defect.

    `counts` has a sample of several classes once for each.
    """

    root: str
    layout: str
    split_was_made: bool
    class_names: tuple[str, ...]
    samples: int
    objects: int
    counts: dict[str, dict[str, int]]
    sizes: dict[str, int]
    drawn: int
    duplicates: int
    not_drawn: int
    clearly_visible: int
    defect_area_px: dict[str, float]
    defect_area_percent: dict[str, float]
    defect_width_px: dict[str, float]
    contrast_to_noise: dict[str, float]
    problems: list[str]


def inspect_data(source: str, sheet: Path | None, out: Path | None) -> None:
    """Print what the dataset `source` holds; draw a contact sheet, and write the numbers as JSON.

    Raises:
        DataError: something is wrong with it; everything that is was printed before.
    """
    if out:
        require_place("--json", out, is_folder=False)
    if sheet:
        require_place("--sheet", sheet, is_folder=False)
    dataset = list_dataset(source)
    if sheet:
        require_outside("--sheet", sheet, dataset.root)
    looks, wrong = _look_at(dataset.samples)
    wrong += [*leaks(dataset.samples), *lacking(dataset), *_at_odds(_duplicates(looks))]
    survey = _survey(dataset, looks, wrong)
    _print(survey)
    if out:
        write_atomically(out, json.dumps(asdict(survey), indent=2).encode() + b"\n")
    for problem in wrong:
        console.print(f"problem: {problem}", soft_wrap=True, markup=False)
    if sheet and looks:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_png(sheet, contact_sheet([look.sample for look in looks]))
        console.print(f"contact sheet: {sheet}", soft_wrap=True, markup=False)
    if wrong:
        raise DataError(f"{dataset.root}: problems to mend before training: {len(wrong)}")


def contact_sheet(samples: Sequence[Sample]) -> Image:
    """Samples of every kind, a row or more each, defects outlined; BGR."""
    by_kind: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_kind[sample.kind].append(sample)
    rows_each = max(1, SHEET_ROWS // max(1, len(by_kind)))
    rows = []
    for kind in sorted(by_kind, key=lambda kind: (kind == GOOD, kind)):
        shown = _spread(by_kind[kind], rows_each * SHEET_COLUMNS)
        cells = [_thumbnail(sample) for sample in shown]
        cv2.putText(cells[0], kind, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
        cells += [np.zeros_like(cells[0])] * (-len(cells) % SHEET_COLUMNS)
        rows += [
            np.hstack(cells[begin : begin + SHEET_COLUMNS])
            for begin in range(0, len(cells), SHEET_COLUMNS)
        ]
    return np.vstack(rows)


def _look_at(samples: Sequence[Sample]) -> tuple[list[Look], list[str]]:
    looks, wrong = [], []
    for sample in progress(samples, "looking"):
        found = list(problems(sample))
        wrong += found
        if not found:
            looks.append(_look(sample))
    return looks, wrong


def _look(sample: Sample) -> Look:
    image = read_image(sample.image, channels=3)  # a JPEG's grey is not that of its PNG
    mask = read_mask(sample, (image.shape[0], image.shape[1]))
    drawn = bool(mask.any())
    return Look(
        sample=sample,
        pixels_sha256=hashlib.sha256(image.tobytes()).hexdigest(),
        size=(image.shape[1], image.shape[0]),
        area_px=int(np.count_nonzero(mask)),
        width_px=_width(mask),
        classes=tuple(np.unique(mask[mask > 0]).tolist()),
        contrast=contrast_to_noise(image, mask) if drawn else 0.0,
    )


def _width(mask: Image) -> float:
    """Across the widest place of what is drawn, in pixels: the largest disc that fits in; or 0.

    A distance reaches from a pixel's centre: an odd number of pixels has one in its middle, an even
    number two, of which an erosion leaves one.
    """
    drawn = np.pad((mask > 0).astype(np.uint8), 1)  # what the image's border cuts ends there
    pairs = cv2.erode(drawn, np.ones((2, 2), np.uint8))
    odd, even = (
        2 * cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()
        for pixels in (drawn, pairs)
    )
    return float(max(odd - 1, even, 0))


def _duplicates(looks: Iterable[Look]) -> list[tuple[Sample, Sample]]:
    """Each sample whose pixels are also those of an earlier one, with that one."""
    first: dict[tuple[str, tuple[int, int]], Sample] = {}
    pairs = [(first.setdefault((k.pixels_sha256, k.size), k.sample), k.sample) for k in looks]
    return [(earlier, later) for earlier, later in pairs if earlier is not later]


def _at_odds(pairs: Iterable[tuple[Sample, Sample]]) -> list[str]:
    """A sentence for each pair of the same pixels in two splits, or of two kinds."""
    return [
        f"'{later.name}' ({later.kind}, {later.split}) shows the same pixels as '{earlier.name}' "
        f"({earlier.kind}, {earlier.split}); take one of them out"
        for earlier, later in pairs
        if (earlier.kind, earlier.split) != (later.kind, later.split)
    ]


def _survey(dataset: Dataset, looks: Sequence[Look], wrong: Sequence[str]) -> Survey:
    samples = dataset.samples
    drawn = [look for look in looks if look.area_px]
    names = dataset.class_names
    shown = {look.sample.name: [names[k - 1] for k in look.classes] for look in drawn}
    kinds = [(kind, s.split) for s in samples for kind in shown.get(s.name, [s.kind])]
    return Survey(
        root=str(dataset.root),
        layout=dataset.layout,
        split_was_made=dataset.split_was_made,
        class_names=dataset.class_names,
        samples=len(samples),
        objects=len({sample.group for sample in samples}),
        counts={
            kind: {split: kinds.count((kind, split)) for split in SPLITS}
            for kind in sorted({kind for kind, _ in kinds})
        },
        sizes={f"{w}x{h}": n for (w, h), n in Counter(look.size for look in looks).most_common()},
        drawn=len(drawn),
        duplicates=len(_duplicates(looks)),
        not_drawn=sum(s.defective and s.drawing is None for s in samples),
        clearly_visible=sum(look.contrast >= CLEARLY_VISIBLE for look in drawn),
        defect_area_px=_percentiles([look.area_px for look in drawn]),
        defect_area_percent=_percentiles([100 * look.area_share for look in drawn]),
        defect_width_px=_percentiles([look.width_px for look in drawn]),
        contrast_to_noise=_percentiles(
            [look.contrast for look in drawn if not math.isnan(look.contrast)]
        ),
        problems=list(wrong),
    )


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    found = np.percentile(values, PERCENTILES)
    return {f"p{p}": round(float(value), 4) for p, value in zip(PERCENTILES, found, strict=True)}


def _print(survey: Survey) -> None:
    table = Table("kind", *SPLITS)
    for kind, by_split in survey.counts.items():
        table.add_row(escape(kind), *(str(by_split[split]) for split in SPLITS))
    console.print(table)
    for line in _lines(survey):
        console.print(line, soft_wrap=True, markup=False)


def _lines(survey: Survey) -> list[str]:
    common = [f"{size} ({n})" for size, n in survey.sizes.items()]
    rest = f" and {len(common) - 3} more" if len(common) > 3 else ""  # noqa: PLR2004
    made = "; the split was made here, by object and kind" if survey.split_was_made else ""
    return [
        f"{survey.root}: {survey.layout}, {survey.samples} samples, {survey.objects} objects{made}",
        f"sizes: {', '.join(common[:3])}{rest}",
        f"defects drawn: {survey.drawn}; known, but not drawn: {survey.not_drawn}",
        f"defect area, % of the image: {_told(survey.defect_area_percent)}",
        f"defect area, pixels: {_told(survey.defect_area_px)}",
        f"defect width at its widest, pixels: {_told(survey.defect_width_px)}",
        f"contrast to noise: {_told(survey.contrast_to_noise)}",
        f"clearly visible, {CLEARLY_VISIBLE:.0f} times the noise or more: {survey.clearly_visible}",
        f"images that show the same pixels as another: {survey.duplicates}",
    ]


def _told(percentiles: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in percentiles.items()) or "-"


def _spread(samples: Sequence[Sample], n: int) -> list[Sample]:
    """At most `n` of the samples, evenly spread."""
    places = np.linspace(0, len(samples) - 1, min(n, len(samples)))
    return [samples[int(place)] for place in places]


def _thumbnail(sample: Sample) -> npt.NDArray[np.uint8]:
    image = read_image(sample.image, channels=3)
    mask = read_mask(sample, (image.shape[0], image.shape[1]))
    side = (SHEET_SIDE_PX - 2, SHEET_SIDE_PX - 2)
    cell = np.zeros((SHEET_SIDE_PX, SHEET_SIDE_PX, 3), np.uint8)
    small = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
    covered = cv2.resize((mask > 0).astype(np.float32), side, interpolation=cv2.INTER_AREA) > 0
    outlines, _ = cv2.findContours(
        covered.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cell[1:-1, 1:-1] = cv2.drawContours(np.ascontiguousarray(small), outlines, -1, OUTLINE, 1)
    return cell
