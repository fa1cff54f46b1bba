"""Calibration, from a dataset and a float network to a defect-rich set and activation ranges."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console

from calibration.ranges import SCHEMA as SCALES_SCHEMA
from calibration.ranges import Scales, activation_ranges
from calibration.selection import (
    SCHEMA,
    CalibrationImage,
    CalibrationSet,
    choose,
    most_images,
    record_of,
)
from calibration.settings import FEWEST_IMAGES, CalibrationSettings, RangeMethod
from runtime.errors import CalibrationError
from runtime.images import read_image, write_png
from runtime.inspection import Inspector, Scored
from runtime.loop import inspector_of_bundle
from runtime.manifest import open_bundle
from runtime.preprocess import preprocess_digest
from runtime.record import read_record, require_place, write_record
from runtime.sources import frame_of_image
from runtime.spec import InputSpec
from train.dataset import Dataset, read_dataset
from train.progress import progress
from train.sample import Sample

SET_FILE = "calibration.json"
SCALES_FILE = "scales.json"
SHEET_FILE = "calibration.png"
MEND = "calibrate again"

console = Console(stderr=True)


@dataclass(frozen=True)
class Calibration:
    """A defect-rich set and the ranges over it."""

    images: CalibrationSet
    scales: Scales


def calibrate(
    dataset: Dataset,
    model: Path,
    inspector: Inspector,
    spec: InputSpec,
    settings: CalibrationSettings,
) -> Calibration:
    """Choose images of the training split and take the ranges of the float ONNX `model` over them.

    `inspector` runs the same network, for the embedding.

    Raises:
        CalibrationError: too few samples.
        DataError: an image or mask that cannot be read.
    """
    samples = dataset.split("train")
    share = settings.defect_share if any(not sample.defective for sample in samples) else 1.0
    count = settings.images or _count(samples, share)
    console.print(f"calibration: {count} images of split train, {share:.0%} defective")
    embeddings = embeddings_of(inspector, spec, samples)
    chosen = choose(samples, embeddings, count, share)
    records = tuple(record_of(s.image, s.name, stratum, why) for s, stratum, why in chosen)
    images = CalibrationSet(SCHEMA, dataset.digest, preprocess_digest(), share, records)
    return with_ranges(images, dataset.root, model, inspector, spec, settings.method)


def _count(samples: Sequence[Sample], share: float) -> int:
    """How many images to take where nobody says.

    Raises:
        CalibrationError: too few to take ranges from.
    """
    count = most_images(samples, share)
    if count < FEWEST_IMAGES:
        raise CalibrationError(
            f"split train has {len(samples)} samples, enough for {count} calibration images of "
            f"which {share:.0%} are defective, {FEWEST_IMAGES} wanted; add some, or insist with "
            f"--images {count}"
        )
    return count


def with_ranges(
    images: CalibrationSet,
    root: Path,
    model: Path,
    inspector: Inspector,
    spec: InputSpec,
    method: RangeMethod,
) -> Calibration:
    """The `images` below `root` with the ranges of the float ONNX `model` over them."""
    ranges = activation_ranges(model, _Tiles(images.images, root, inspector, spec), method)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return Calibration(images, Scales(SCALES_SCHEMA, method, digest, images.digest, ranges))


def calibrate_bundle(
    bundle: Path, data: Path | str, out: Path, settings: CalibrationSettings
) -> None:
    """Calibrate the float `bundle` on `data`, and write the folder `out`.

    Raises:
        CalibrationError: the output folder is taken, the bundle is not float, or too few samples.
        ManifestError, DataError: the bundle or the dataset is wrong.
    """
    if out.exists():
        raise CalibrationError(f"--out {out}: exists; choose another, or remove it")
    require_place("--out", out, is_folder=True)
    if settings.method is RangeMethod.AUTO:
        raise CalibrationError(
            "--ranges auto: is chosen by what INT8 then loses, which export measures; name one of "
            "minmax, percentile and entropy here"
        )
    opened = open_bundle(bundle)
    if opened.manifest.precision != "float":
        raise CalibrationError(
            f"{bundle}: is {opened.manifest.precision}; calibrate a float bundle: "
            "export without --int8"
        )
    dataset, inspector = read_dataset(data), inspector_of_bundle(opened)
    dataset.require_unchanged(opened.manifest.provenance.data_digest, bundle)
    dataset.require_outside("--out", out)
    spec = opened.manifest.input
    calibration = calibrate(dataset, bundle / "model.onnx", inspector, spec, settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        written = Path(beside) / "calibration"
        written.mkdir()
        write_calibration(written, calibration, dataset)
        written.rename(out)


def write_calibration(out: Path, calibration: Calibration, dataset: Dataset) -> None:
    """Write `calibration.json`, `scales.json` and a contact sheet into the folder `out`."""
    write_record(out / SET_FILE, calibration.images)
    write_record(out / SCALES_FILE, calibration.scales)
    write_png(out / SHEET_FILE, _contact_sheet(dataset.root, calibration.images))


def read_calibration(folder: Path, dataset: Dataset, model: Path) -> Calibration:
    """What `write_calibration` wrote, for the same data and the same float ONNX `model`.

    Raises:
        CalibrationError: a file is missing, wrong, or made for something else.
    """
    images = read_record(folder / SET_FILE, CalibrationSet, SCHEMA, CalibrationError, MEND)
    scales = read_record(folder / SCALES_FILE, Scales, SCALES_SCHEMA, CalibrationError, MEND)
    model_sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    for name, found, expected in (
        (f"{SET_FILE}: data_digest", images.data_digest, dataset.digest),
        (f"{SET_FILE}: preprocess_digest", images.preprocess_digest, preprocess_digest()),
        (f"{SCALES_FILE}: calibration_digest", scales.calibration_digest, images.digest),
        (f"{SCALES_FILE}: model_sha256", scales.model_sha256, model_sha256),
    ):
        if found != expected:
            raise CalibrationError(
                f"{folder}/{name} is {found[:12]}, expected {expected[:12]}: "
                f"made for something else; {MEND}"
            )
    for image in images.images:
        path = dataset.root / image.file
        if hashlib.sha256(path.read_bytes()).hexdigest() != image.sha256:
            raise CalibrationError(f"{path}: is not the image that {folder} was made with; {MEND}")
    return Calibration(images, scales)


@dataclass(frozen=True)
class _Tiles:
    """`calibration_tiles` of these, read anew each time, with a bar."""

    images: Sequence[CalibrationImage]
    root: Path
    inspector: Inspector
    spec: InputSpec

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        read = progress(self.images, "taking ranges")
        return calibration_tiles(read, self.root, self.inspector, self.spec)


def calibration_tiles(
    images: Iterable[CalibrationImage], root: Path, inspector: Inspector, spec: InputSpec
) -> Iterator[npt.NDArray[np.uint8]]:
    """The tiles of the `images` below `root`, (N, H, W, C), as many at once as the network sees."""
    most = inspector.engine.tiles
    for image in images:
        frame = frame_of_image(root / image.file, spec.channels, 0, image.file)
        tiles = inspector.preprocess(frame)[1]
        for first in range(0, len(tiles), most):
            yield tiles[first : first + most].copy()


def embeddings_of(
    inspector: Inspector, spec: InputSpec, samples: Sequence[Sample]
) -> npt.NDArray[np.float64]:
    """How the encoder sees each sample, (len(samples), D)."""
    frames = (
        frame_of_image(sample.image, spec.channels, 0, sample.name)
        for sample in progress(samples, "looking for defects")
    )
    return np.stack([_embedding(inspector.score(frame)) for frame in frames])


def _embedding(parts: Iterable[Scored]) -> npt.NDArray[np.float64]:
    """Each skip's mean over tiles and pixels, every level scaled to length 1, (D,)."""
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for part in parts:
        for name, skip in part.skips.items():
            level = np.asarray(skip, np.float64).mean(axis=(2, 3)).sum(axis=0)
            sums[name] = sums.get(name, 0.0) + level
    return np.concatenate(
        [level / max(float(np.linalg.norm(level)), 1e-9) for level in sums.values()]
    )


def _contact_sheet(
    root: Path, images: CalibrationSet, columns: int = 8, side: int = 128
) -> npt.NDArray[np.uint8]:
    rows = -(-len(images.images) // columns)
    sheet = np.full((rows * (side + 14), columns * side, 3), 32, np.uint8)
    for index, image in enumerate(images.images):
        y, x = index // columns * (side + 14), index % columns * side
        sheet[y : y + side, x : x + side - 2] = cv2.resize(
            read_image(root / image.file, channels=3), (side - 2, side)
        )
        place = (x + 2, y + side + 10)
        cv2.putText(sheet, image.stratum, place, cv2.FONT_HERSHEY_SIMPLEX, 0.24, (230, 230, 230))
    return sheet
