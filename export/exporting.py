"""An export, from a trained model to a bundle: written beside, then renamed."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from rich.console import Console
from rich.table import Table

from calibration.calibrating import (
    Calibration,
    calibrate,
    read_calibration,
    with_ranges,
    write_calibration,
)
from calibration.settings import METHODS, CalibrationSettings, RangeMethod
from export.building import BuildSettings, build
from export.cache import CACHE_FILE, calibration_cache
from export.float_onnx import float_onnx, part_of
from export.golden import write_golden
from export.judging import (
    Judged,
    Promise,
    Source,
    inspector_of,
    judge,
    judge_for_all,
    say_what_is_missing,
    source_of,
    unprejudiced,
)
from export.lint import require_clean
from export.parity import PARITY_FILE, Parity, require_parity
from export.parity import SCHEMA as PARITY_SCHEMA
from export.plan import FLOAT, HALF
from export.renderings import CPU, TENSORRT, TYPED, Quantizer, held, least_loss
from export.split import write_split
from export.typed import typed
from export.validation import write_validation_report
from export.work import work_of
from runtime.errors import DataError, EngineError, ManifestError, QualityError
from runtime.manifest import SCHEMA, Manifest, Metrics, Provenance, Work, open_bundle, seal_bundle
from runtime.preprocess import preprocess_digest
from runtime.record import require_place, write_record
from runtime.settings import ENGINES
from train.checkpoint import ModelRecord, load_model
from train.dataset import SPLITS_FILE, Dataset, read_dataset, write_splits
from train.report.report import REPORT

FEW = 50  # defective samples: one of them is worth more than any limit of `export.parity`

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
    promise: Promise
    mm_per_pixel: float | None


def export(settings: ExportSettings) -> Manifest:
    """Write the bundle that `settings` ask for; nothing is left behind where it fails.

    Raises:
        ModelError, DataError, CalibrationError: an input is wrong.
        ManifestError: the output folder is taken.
        QualityError: INT8 lost too much; a report is left in `OUT.refused`.
    """
    if settings.out.exists():
        raise ManifestError(f"--out {settings.out}: exists; choose another, or remove it")
    require_place("--out", settings.out, is_folder=True)
    _require_forgettable(settings.out)
    network, record = load_model(settings.model)
    dataset = _dataset_of(settings, record).taught(record.class_names)
    dataset.require_unchanged(record.data_digest, settings.model)
    dataset.require_outside("--out", settings.out)
    source = source_of(record, dataset, settings.promise)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=settings.out.parent, prefix=f".{settings.out.name}.") as beside:
        root, exact_root = Path(beside) / "bundle", Path(beside) / "float"
        root.mkdir()
        model = float_onnx(network, record.input)
        onnx.save(part_of(model, ["image"], ["score", "mask"]), root / "model.onnx")
        write_split(model, exact_root)
        parts = {name: onnx.load(exact_root / f"{name}.onnx") for name in ("gate", "mask")}
        work = {name: work_of(part, 1 if settings.int8 else 4) for name, part in parts.items()}
        source = unprejudiced(source, exact_root)
        exact = judge(exact_root, source)
        parity = None
        if settings.int8:
            calibration = _calibration(settings, source, root, exact)
            judged, parity = _write_int8(root, calibration, source, exact)
        else:
            calibration, judged = None, exact
            exact_root.rename(root / "cpu")
        write_split(typed(onnx.load(root / "model.onnx")), root / HALF)
        judged = _judged_for_all(root, judged, exact, source)
        metrics = {"float": exact.metrics} if parity else {}
        metrics |= {"int8" if parity else "float": judged.metrics}
        say_what_is_missing(source, judged)
        golden = root / "golden"
        if not write_golden(golden, judged.inspector, source.validation, record.input.channels):
            console.print("no defect of validation opens the gate: `verify` will refuse the bundle")
        write_splits(root / SPLITS_FILE, dataset.samples, settings.model)
        manifest = _manifest(settings, source, judged, calibration, metrics, work)
        seal_bundle(root, manifest)
        if parity:
            write_validation_report(root, source, parity, settings.out.name)
            _require_parity(root, parity, settings.out)
            exact_root.rename(root / FLOAT)
            seal_bundle(root, manifest)
        root.rename(settings.out)
    _forget_refusal(settings.out)
    _show(manifest, settings.out)
    if settings.int8:
        _build_here(settings.out)
    return manifest


def _dataset_of(settings: ExportSettings, record: ModelRecord) -> Dataset:
    try:
        return read_dataset(settings.data or record.data)
    except DataError as error:
        if settings.data:
            raise
        raise DataError(
            f"{error}; the model was trained on this: if it lies elsewhere now, name it with --data"
        ) from error


def _build_here(out: Path) -> None:
    """TensorRT plans for this machine, if it has TensorRT and a GPU; the bundle is good without."""
    if not (find_spec("tensorrt") and find_spec("pycuda")):
        return
    try:
        folder = build(open_bundle(out), BuildSettings(ENGINES))
        console.print(f"{out}: plans in {folder}", soft_wrap=True, markup=False)
    except (EngineError, QualityError) as error:
        console.print(f"no TensorRT plans: {error}", soft_wrap=True, markup=False)


def _show(manifest: Manifest, out: Path) -> None:
    table = Table("validation", *manifest.metrics)
    for name in ("recall", "false_reject_rate", "image_ap", "gated_seg_miou", "gated_seg_recall"):
        values = [metrics[name] for metrics in manifest.metrics.values()]
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in values))
    console.print(table)
    said = f"{out}: {manifest.precision}, threshold {manifest.limits.threshold:.3f}"
    console.print(said, soft_wrap=True, markup=False)


def _calibration(
    settings: ExportSettings, source: Source, root: Path, exact: Judged
) -> Calibration:
    model, asked = root / "model.onnx", settings.calibrate
    if settings.calibration:
        calibration = read_calibration(settings.calibration, source.dataset, model)
    else:
        auto = asked.method is RangeMethod.AUTO
        first = replace(asked, method=METHODS[0]) if auto else asked
        inspector, spec = exact.inspector, source.record.input
        calibration = calibrate(source.dataset, model, inspector, spec, first)
        if auto:
            calibration = _best_ranges(calibration, source, model, exact)
    write_calibration(root, calibration, source.dataset)
    return calibration


def _best_ranges(first: Calibration, source: Source, model: Path, exact: Judged) -> Calibration:
    """The same images by the method whose INT8 loses least on what may choose."""
    spec, root = source.record.input, source.dataset.root
    candidates = [first] + [
        with_ranges(first.images, root, model, exact.inspector, spec, method)
        for method in METHODS[1:]
    ]
    renderings = []
    for candidate in candidates:
        with TemporaryDirectory(dir=model.parent.parent) as beside:
            quantizer = Quantizer(onnx.load(model), candidate, source, exact, Path(beside))
            renderings.append(quantizer.render(CPU, (), exact))
    best = candidates[least_loss(renderings)]
    console.print(f"ranges: {best.scales.method.value} loses least")
    return best


def _write_int8(
    root: Path, calibration: Calibration, source: Source, exact: Judged
) -> tuple[Judged, Parity]:
    """Write the INT8 renderings into the bundle `root`, and what they lost."""
    model = onnx.load(root / "model.onnx")
    quantizer = Quantizer(model, calibration, source, exact, root.parent)
    cpu, cost = held(quantizer, CPU, None)
    cpu.folder.rename(root / CPU.name)
    costs = {CPU.name: cost}
    for kind, twin in ((TENSORRT, None), (TYPED, TENSORRT.name)):
        if cost.broken:
            break
        rendering, cost = held(quantizer, kind, cpu.judged, costs[twin] if twin else None)
        rendering.folder.rename(root / kind.name)
        require_clean(root / kind.name)
        costs[kind.name] = cost
    compared = exact.metrics_on(source.comparing)["n_defective"] or 0
    if compared < FEW:
        console.print(
            f"{compared} defective samples compare INT8 with float: a loss of up to "
            f"{100 / max(compared, 1):.1f} points of recall is not seen; add defects to val",
            soft_wrap=True,
        )
    ranges = calibration.scales.ranges
    (root / CACHE_FILE).write_text(calibration_cache(ranges), encoding="ascii")
    parity = Parity(PARITY_SCHEMA, costs)
    write_record(root / PARITY_FILE, parity)
    return cpu.judged, parity


def _judged_for_all(root: Path, judged: Judged, exact: Judged, source: Source) -> Judged:
    """The CPU's rendering with a threshold for all that a device may run."""
    others = {
        name: inspector_of(root / name, source.record, exact.inspector.limits, fused=False)
        for name in (TENSORRT.name, TYPED.name, HALF)
        if (root / name / "gate.onnx").exists()
    }
    if judged is not exact:
        others[FLOAT] = exact.inspector
    return judge_for_all(root / CPU.name, judged, others, source)


def _refused(out: Path) -> Path:
    return out.with_name(f"{out.name}.refused")


def _require_forgettable(out: Path) -> None:
    """Let the place of the report be free, or hold nothing but that of an earlier refusal.

    Raises:
        ManifestError: something else is there.
    """
    refused, ours = _refused(out), {REPORT, PARITY_FILE}
    if not refused.exists():
        return
    if not refused.is_dir() or {path.name for path in refused.iterdir()} != ours:
        raise ManifestError(
            f"{refused}: a refusal is told there, and it holds no such report; move it, or choose "
            "another --out"
        )


def _forget_refusal(out: Path) -> None:
    """Remove the report that an earlier refusal left, and nothing else."""
    refused = _refused(out)
    if refused.exists():
        for name in (REPORT, PARITY_FILE):
            (refused / name).unlink(missing_ok=True)
        refused.rmdir()


def _require_parity(root: Path, parity: Parity, out: Path) -> None:
    """Leave the report beside `out` where the limits do not hold, and refuse.

    Raises:
        QualityError: a limit does not hold.
    """
    if all(not rendering.broken for rendering in parity.renderings.values()):
        return
    refused = root.with_name("refused")
    refused.mkdir()
    for name in (REPORT, PARITY_FILE):
        (root / name).rename(refused / name)
    _forget_refusal(out)
    refused.rename(_refused(out))
    require_parity(parity, str(_refused(out) / REPORT))


def _manifest(
    settings: ExportSettings,
    source: Source,
    judged: Judged,
    calibration: Calibration | None,
    metrics: dict[str, Metrics],
    work: dict[str, Work],
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
        work=work,
    )
