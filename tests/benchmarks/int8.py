"""What INT8 costs, by the images that its ranges are taken from, and by how they are taken.

    python tests/benchmarks/int8.py --sets FOLDER --runs runs/ablation --out runs/int8

FOLDER holds the datasets, --runs what `ablation.py` trained. Each model is quantised as a whole, no
layer goes back to float; the last row is what `export` makes of it, with the layers in float that
its limits need. The threshold is chosen anew on validation, as `export` does, and the test split is
measured. With --write the tables go into export/README.md.

NVIDIA's Model-Optimizer quantises the same network with the same images where --model-optimizer
names a folder with it, such as `pip install --no-deps --target FOLDER nvidia-modelopt==0.47.0
onnx-graphsurgeon==0.6.1 nvidia-ml-py omegaconf antlr4-python3-runtime==4.9.3 onnxconverter-common
pulp onnxscript onnx-ir onnxslim polygraphy pydantic pydantic-core annotated-types
typing-inspection torchprofile lief cppimport` makes.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from tables import cell, put, table

from calibration.calibrating import calibration_tiles, embeddings_of
from calibration.ranges import activation_ranges
from calibration.selection import choose, record_of
from calibration.settings import CalibrationSettings, RangeMethod
from export.correction import corrected, shifts_of
from export.exporting import ExportSettings, export
from export.float_onnx import float_onnx, part_of
from export.judging import Promise, Source, inspector_of, source_of
from export.renderings import CPU, TENSORRT, Kind
from export.split import write_split
from runtime.errors import QualityError
from runtime.inspection import Inspector
from runtime.spec import Limits
from train.checkpoint import load_model
from train.dataset import read_dataset
from train.evaluation import choose_threshold, outcome, predictions
from train.judge import WholeOnnxEngine
from train.metrics import Outcome, summary
from train.sample import Sample

SETS = ("magnetic_tile", "deepcrack256")
COLUMNS = {
    "Seg_Recall": "seg_recall",
    "Seg_mIoU": "seg_miou",
    "image AP": "image_ap",
    "flipped": "flipped",
    "in float": "float_layers",
}
PROMISE = Promise(0.01, 0.95)
DEFECT_RICH = 0.7
console = Console(stderr=True)


@dataclass(frozen=True)
class Choice:
    """Calibration images: how many, which share defective (None: as it falls), chosen how."""

    title: str
    images: int = 32
    share: float | None = DEFECT_RICH
    at_random: bool = False
    model_optimizer: bool = False
    exported: bool = False
    corrected: bool = True


ROWS = (
    Choice("32 random", share=None, at_random=True),
    Choice("32 clean", share=0.0, at_random=True),
    Choice("32 defect-rich"),
    Choice("32 defect-rich, biases as they are", corrected=False),
)
OPTIMIZED = Choice("32 defect-rich, Model-Optimizer", model_optimizer=True)
EXPORTED = Choice("32 defect-rich, as exported", exported=True)


class Network:
    """A trained network with its data: quantised by choice, and measured on test."""

    def __init__(self, run: Path, data: Path, folder: Path, seed: int) -> None:
        network, self.record = load_model(run)
        dataset = read_dataset(data).taught(self.record.class_names)
        self.source: Source = source_of(self.record, dataset, PROMISE)
        self.run, self.data, self.folder, self.seed = run, data, folder, seed
        model = float_onnx(network, self.record.input)
        write_split(model, folder / "float")
        self.model = part_of(model, ["image"], ["score", "mask"])
        onnx.save(self.model, folder / "model.onnx")
        self.float = inspector_of(folder / "float", self.record, Limits())
        self.training = dataset.split("train")
        self.embeddings = embeddings_of(self.float, self.record.input, self.training)
        self.exact = self.outcomes(self.float)

    def outcomes(self, inspector: Inspector) -> list[Outcome]:
        """What becomes of the test samples, with the threshold that `export` would choose."""
        threshold = choose_threshold(inspector, self.source.deciding, self.record.input)
        limits = replace(self.record.limits, threshold=threshold)
        test = self.source.dataset.split("test")
        seen = predictions(inspector, test, self.record.input)
        return [outcome(prediction, limits) for prediction in seen]

    def metrics(self, outcomes: list[Outcome]) -> dict[str, Any]:
        """Their metrics, and how many verdicts are other than those of the float network."""
        flipped = sum(a.opened != b.opened for a, b in zip(outcomes, self.exact, strict=True))
        return {**summary(outcomes, 0.0), "flipped": flipped, "float_layers": 0}

    def chosen(self, choice: Choice) -> list[Sample] | None:
        """The calibration images; None where the set has not got them."""
        share = choice.share
        if share == DEFECT_RICH and all(sample.defective for sample in self.training):
            share = 1.0
        wanted = {True: None, False: None} if share is None else _numbers(choice.images, share)
        have = {d: [s for s in self.training if s.defective == d] for d in (True, False)}
        if any((wanted[d] or 0) > len(have[d]) for d in have):
            return None
        if choice.at_random:
            pool = self.training if share is None else have[False]
            return random.Random(self.seed).sample(pool, min(choice.images, len(pool)))  # noqa: S311
        return [s for s, _, _ in choose(self.training, self.embeddings, choice.images, share or 0)]

    def quantized(
        self, choice: Choice, kinds: Sequence[Kind] = (CPU, TENSORRT)
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The metrics of the renderings `kinds`, by name, over the images of `choice`."""
        if choice.exported:
            yield from self.exported(choice)
            return
        samples = self.chosen(choice)
        if samples is None:
            return
        images = [record_of(s.image, s.name, "", "") for s in samples]
        root = self.source.dataset.root
        tiles = list(calibration_tiles(images, root, self.float, self.record.input))
        if choice.model_optimizer:
            yield TENSORRT.name, self.metrics(self.outcomes(self.model_optimized(tiles)))
            return
        ranges = activation_ranges(self.folder / "model.onnx", tiles, RangeMethod.MINMAX)
        for kind in kinds:
            model = self.model
            if choice.corrected:
                rounded = partial(kind.quantize, ranges=ranges, float_layers=())
                model = corrected(model, shifts_of(model, rounded, tiles), ())
            with tempfile.TemporaryDirectory() as beside:
                folder = Path(beside) / kind.name
                write_split(kind.quantize(model, ranges, ()), folder, kind.border.format)
                inspector = inspector_of(folder, self.record, Limits())
                yield kind.name, self.metrics(self.outcomes(inspector))

    def exported(self, choice: Choice) -> Iterator[tuple[str, dict[str, Any]]]:
        """As `quantized`, by `defectgate export`; nothing where it refuses the model."""
        bundle, calibrate = self.folder / "bundle", CalibrationSettings(choice.images)
        asked = ExportSettings(self.run, bundle, self.data, True, None, calibrate, PROMISE, None)  # noqa: FBT003
        try:
            export(asked)
        except QualityError as error:
            console.print(str(error))
            return
        parity = json.loads((bundle / "parity.json").read_bytes())["renderings"]
        for kind in (CPU, TENSORRT):
            inspector = inspector_of(bundle / kind.name, self.record, Limits())
            layers = {"float_layers": len(parity[kind.name]["float_layers"])}
            yield kind.name, self.metrics(self.outcomes(inspector)) | layers

    def model_optimized(self, tiles: list[Any]) -> Inspector:
        """The network as NVIDIA's Model-Optimizer quantises it with its largest magnitudes."""
        path = self.folder / "optimized.onnx"
        images = np.concatenate(tiles)
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            apart.submit(optimize, self.folder / "model.onnx", images, path, sys.path).result()
        record = self.record
        return Inspector(WholeOnnxEngine(path), record.input, Limits(), record.class_names)


def optimize(model: Path, images: npt.NDArray[np.uint8], out: Path, search: list[str]) -> None:
    """Run Model-Optimizer, in a process of its own: it alters onnxruntime."""
    sys.path[:] = search
    from modelopt.onnx.quantization import quantize

    quantize(
        str(model),
        calibration_data={"image": images},
        calibration_method="max",
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(out),
        log_level="ERROR",
    )


def main() -> None:
    """Measure what is not measured yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--runs", type=Path, required=True, help="what ablation.py trained")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model-optimizer", type=Path, help="folder with NVIDIA's Model-Optimizer")
    parser.add_argument("--write", action="store_true", help="put the tables into export/README.md")
    asked = parser.parse_args()
    choices = ROWS
    if asked.model_optimizer:
        sys.path.append(str(asked.model_optimizer))
        choices += (OPTIMIZED,)
    choices += (EXPORTED,)
    asked.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for name in SETS:
        results = [
            measured(asked.runs / f"{name}-row2-seed{seed}", asked.sets / name, asked.out, choices)
            for seed in range(asked.seeds)
        ]
        tables.append(results_table(name, results, choices))
    text = "\n\n".join(tables)
    sys.stdout.write(text + "\n")
    if asked.write:
        put("export/README.md", "int8", text)


def measured(run: Path, data: Path, out: Path, choices: tuple[Choice, ...]) -> dict[str, Any]:
    """The metrics of one network by row, kept in `out` from one call to the next."""
    kept = out / f"{run.name}.json"
    results = json.loads(kept.read_bytes()) if kept.exists() else {}
    missing = [choice for choice in choices if choice.title not in results]
    if not missing:
        return results
    with tempfile.TemporaryDirectory() as folder:
        network = Network(run, data, Path(folder), int(run.name[-1]))
        results["float"] = {"": network.metrics(network.exact) | {"float_layers": None}}
        for choice in missing:
            console.print(f"{run.name}: {choice.title}")
            results[choice.title] = dict(network.quantized(choice))
            kept.write_text(json.dumps(results), encoding="utf-8")
    return results


def results_table(name: str, results: list[dict[str, Any]], choices: tuple[Choice, ...]) -> str:
    """The rows of one dataset: mean and spread (lowest to highest) over the seeds."""
    rows = []
    for title in ("float", *(choice.title for choice in choices)):
        for kind in results[0][title] or {"": {}}:
            found = [result[title].get(kind, {}) for result in results]
            cells = [cell([f.get(key) for f in found]) for key in COLUMNS.values()]
            rows.append([title, kind, *cells])
    names = ["images", "rendering", *COLUMNS]
    return table(f"{name}, test split, {len(results)} seeds", names, rows)


def _numbers(images: int, share: float) -> dict[bool, int | None]:
    defective = round(images * share)
    return {True: defective, False: images - defective}


if __name__ == "__main__":
    main()
