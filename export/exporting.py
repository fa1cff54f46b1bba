"""An export, from a trained model to a bundle: written beside, then renamed."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from rich.console import Console
from rich.table import Table

from calibration.calibrating import (
    Calibration,
    calibrate,
    read_calibration,
    write_calibration,
)
from calibration.settings import CalibrationSettings
from calibration.threshold import promised_threshold, units_needed, worst_by_group
from export.cpu import quantize_for_cpu
from export.float_onnx import float_onnx, part_of
from export.golden import write_golden
from export.parity import require_parity
from export.qdq import insert_qdq
from export.split import write_split
from runtime.errors import ManifestError
from runtime.inspection import Inspector
from runtime.manifest import SCHEMA, Guarantee, Manifest, Metrics, Provenance, seal_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.preprocess import preprocess_digest
from runtime.spec import Limits
from train.checkpoint import ModelRecord, load_model
from train.dataset import Dataset, read_dataset
from train.division import divide_by_group, require_both_labels
from train.evaluation import choose_threshold, outcome, predictions, sample_scores
from train.metrics import summary
from train.operating_point import MAX_FALSE_REJECTS
from train.sample import Sample

console = Console(stderr=True)


@dataclass(frozen=True)
class ExportSettings:
    """What to export, from what, and what to promise."""

    model: Path
    out: Path
    data: Path | str | None
    int8: bool
    calibration: Path | None
    calibrate: CalibrationSettings
    max_miss_rate: float
    confidence: float
    mm_per_pixel: float | None


@dataclass(frozen=True)
class Source:
    """What a bundle is made from: the model's record, and the data that judge it.

    One half of the validation split chooses, the other, which chose nothing, may promise.
    """

    record: ModelRecord
    dataset: Dataset
    choosing: Sequence[Sample]
    deciding: Sequence[Sample]

    @property
    def validation(self) -> Sequence[Sample]:
        """Both halves."""
        return [*self.choosing, *self.deciding]


@dataclass(frozen=True)
class Judged:
    """A rendering with its limits, what they promise, and how it did on validation."""

    inspector: Inspector
    guarantee: Guarantee | None
    metrics: Metrics


def export(settings: ExportSettings) -> Manifest:
    """Write the bundle that `settings` ask for; nothing is left behind where it fails.

    Raises:
        ModelError, DataError, CalibrationError: an input is wrong.
        ManifestError: the output folder is taken.
        QualityError: INT8 lost too much.
    """
    if settings.out.exists():
        raise ManifestError(f"--out {settings.out}: exists; choose another, or remove it")
    network, record = load_model(settings.model)
    dataset = read_dataset(settings.data or record.data).taught(record.class_names)
    dataset.require_unchanged(record.data_digest, settings.model)
    source = Source(record, dataset, *divide_by_group(dataset.split("val")))
    if any(not sample.defective for sample in dataset.samples):
        for part in (source.choosing, source.deciding):
            require_both_labels(part, f"{dataset.root}: a half of split val")
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=settings.out.parent, prefix=f".{settings.out.name}.") as beside:
        root, exact_root = Path(beside) / "bundle", Path(beside) / "float"
        root.mkdir()
        model = float_onnx(network, record.input)
        onnx.save(part_of(model, ["image"], ["score", "mask"]), root / "model.onnx")
        write_split(model, exact_root)
        exact = _judge(exact_root, settings, source)
        if settings.int8:
            calibration = _calibration(settings, source, root, exact.inspector)
            _write_int8(root, calibration)
            judged = _judge(root / "cpu", settings, source)
            _require_parity(root, source, exact, judged)
            metrics = {"float": exact.metrics, "int8": judged.metrics}
        else:
            calibration, judged, metrics = None, exact, {"float": exact.metrics}
            shutil.copytree(exact_root, root / "cpu")
        if not judged.guarantee:
            _say_what_is_missing(settings, source)
        write_golden(root / "golden", judged.inspector, source.validation, record.input.channels)
        manifest = _manifest(settings, source, judged, calibration, metrics)
        seal_bundle(root, manifest)
        root.rename(settings.out)
    _show(manifest, settings.out)
    return manifest


def _judge(rendering: Path, settings: ExportSettings, source: Source) -> Judged:
    """Choose the threshold for `rendering`, prove what can be proven, and measure.

    The mask's limits are the model's own, so that renderings differ by their arithmetic alone.
    """
    spec = source.record.input
    inspector = _inspector(rendering, source.record, Limits())
    threshold = choose_threshold(inspector, source.deciding, spec)
    limits = replace(source.record.limits, threshold=threshold)
    defective = [sample for sample in source.deciding if sample.defective]
    scores = sample_scores(inspector, defective, spec)
    units = worst_by_group(scores, [sample.group for sample in defective])
    promise = promised_threshold(units, settings.max_miss_rate, settings.confidence)
    if promise and source.dataset.digest != source.record.data_digest:
        console.print("no promise: the data are not those of the training, and may overlap it")
        promise = None
    if promise:
        limits = replace(limits, threshold=promise[0])
    inspector = _inspector(rendering, source.record, limits)
    return Judged(inspector, promise[1] if promise else None, _measure(inspector, source))


def _show(manifest: Manifest, out: Path) -> None:
    table = Table("validation", *manifest.metrics)
    for name in ("recall", "false_reject_rate", "image_ap", "gated_seg_miou", "gated_seg_recall"):
        table.add_row(name, *(f"{m[name] or 0:.3f}" for m in manifest.metrics.values()))
    console.print(table)
    console.print(f"{out}: {manifest.precision}, threshold {manifest.limits.threshold:.3f}")


def _say_what_is_missing(settings: ExportSettings, source: Source) -> None:
    have = len({sample.group for sample in source.deciding if sample.defective})
    needed = units_needed(settings.max_miss_rate, settings.confidence)
    console.print(
        f"no promise of at most {settings.max_miss_rate:.1%} missed: that takes {needed} defective "
        f"objects without a miss in the proving half of the validation split, it has {have}; the "
        f"threshold is the best recall at {MAX_FALSE_REJECTS:.0%} false rejects",
        soft_wrap=True,
    )


def _inspector(rendering: Path, record: ModelRecord, limits: Limits) -> Inspector:
    engine = OnnxEngine(rendering / "gate.onnx", rendering / "mask.onnx")
    return Inspector(engine, record.input, limits, record.class_names)


def _measure(inspector: Inspector, source: Source) -> Metrics:
    seen = predictions(inspector, source.validation, source.record.input)
    limits = inspector.limits
    return summary([outcome(prediction, limits) for prediction in seen], limits.threshold)


def _calibration(
    settings: ExportSettings, source: Source, root: Path, inspector: Inspector
) -> Calibration:
    model = root / "model.onnx"
    if settings.calibration:
        calibration = read_calibration(settings.calibration, source.dataset, model)
    else:
        calibration = calibrate(
            source.dataset, model, inspector, source.record.input, settings.calibrate
        )
    write_calibration(root, calibration, source.dataset)
    return calibration


def _write_int8(root: Path, calibration: Calibration) -> None:
    model = onnx.load(root / "model.onnx")
    ranges = calibration.scales.ranges
    write_split(quantize_for_cpu(model, ranges), root / "cpu", "{}_QuantizeLinear_Output".format)
    write_split(insert_qdq(model, ranges), root / "tensorrt", "{}.int8".format)


def _require_parity(root: Path, source: Source, exact: Judged, judged: Judged) -> None:
    require_parity(exact.metrics, judged.metrics, "cpu")
    tensorrt = _inspector(root / "tensorrt", source.record, judged.inspector.limits)
    require_parity(exact.metrics, _measure(tensorrt, source), "tensorrt")


def _manifest(
    settings: ExportSettings,
    source: Source,
    judged: Judged,
    calibration: Calibration | None,
    metrics: dict[str, Metrics],
) -> Manifest:
    record = source.record
    return Manifest(
        schema=SCHEMA,
        precision="int8" if settings.int8 else "float",
        input=record.input,
        class_names=record.class_names,
        limits=judged.inspector.limits,
        guarantee=judged.guarantee,
        mm_per_pixel=settings.mm_per_pixel,
        preprocess_digest=preprocess_digest(),
        metrics=metrics,
        provenance=Provenance(
            data_digest=source.dataset.digest,
            calibration_digest=calibration.images.digest if calibration else "",
            model_sha256=record.weights_sha256,
            settings={k: v for k, v in record.settings.items() if k not in {"data", "out"}},
            versions={
                name: version(name) for name in ("defectgate", "onnx", "onnxruntime", "torch")
            },
        ),
        files={},
    )
