"""What INT8 costs, by the images that its ranges are taken from, and with biases as they are.

    python tests/benchmarks/int8.py --sets FOLDER --runs runs/ablation --out runs/int8

FOLDER holds the datasets, --runs what `ablation.py` trained, its row "defectgate" with every seed.
Each model is quantised as a whole, no layer goes back to float; the last row has the layers in
float that the limits of `export` need. To compare: the float network where each pixel of the test
images is at random a grey level darker, lighter or as it was. The threshold is chosen anew on
validation, but as exported `tensorrt/` takes that of `cpu/`; the test split is measured. What is
measured is kept in --out and not measured again, unless the network is another; with --write the
tables go into export/README.md.

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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ablation
import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from tables import cell, put, table

from calibration.calibrating import Calibration, calibration_tiles, embeddings_of
from calibration.ranges import Scales, activation_ranges
from calibration.selection import CalibrationSet, choose, record_of
from calibration.settings import RangeMethod
from export.float_onnx import float_onnx, part_of
from export.judging import Judged, Promise, Source, inspector_of, judge, source_of
from export.renderings import CPU, TENSORRT, Kind, Quantizer, held
from export.split import write_split
from runtime.images import read_image, write_png
from runtime.inspection import Inspector
from runtime.record import write_atomically
from runtime.spec import Limits
from train.checkpoint import RECORD, load_model, load_record
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
FLOAT, NOISY = "float", "float, a grey level of noise"


class Network:
    """A trained network with its data: quantised by choice, and measured on test."""

    def __init__(self, run: Path, data: Path, folder: Path, seed: int) -> None:
        network, self.record = load_model(run)
        dataset = read_dataset(data).taught(self.record.class_names)
        self.source: Source = source_of(self.record, dataset, PROMISE)
        self.folder, self.seed = folder, seed
        model = float_onnx(network, self.record.input)
        write_split(model, folder / "float")
        self.model = part_of(model, ["image"], ["score", "mask"])
        onnx.save(self.model, folder / "model.onnx")
        self.float = inspector_of(folder / "float", self.record, Limits())
        self.training = dataset.split("train")
        self.exact = self.outcomes(self.float)
        self.quantizers: dict[tuple[str, ...], Quantizer] = {}

    @cached_property
    def embeddings(self) -> npt.NDArray[np.float64]:
        """How the encoder sees the training samples."""
        return embeddings_of(self.float, self.record.input, self.training)

    def inspector(self, folder: Path, kind: Kind) -> Inspector:
        """What judges by the rendering in `folder`."""
        return inspector_of(folder, self.record, Limits(), fused=kind.fused)

    @cached_property
    def test(self) -> Sequence[Sample]:
        """The samples that are measured."""
        return self.source.dataset.split("test")

    def noisy(self) -> list[Sample]:
        """The test samples, their pixels at random a grey level darker, lighter or as they were."""
        generator = np.random.default_rng(self.seed)
        samples = []
        for index, sample in enumerate(self.test):
            image = read_image(sample.image, self.record.input.channels).astype(np.int16)
            image += generator.integers(-1, 2, image.shape, np.int16)
            path = self.folder / f"noisy{index}.png"
            write_png(path, image.clip(0, 255).astype(np.uint8))
            samples.append(replace(sample, image=path))
        return samples

    def outcomes(
        self, inspector: Inspector, samples: Sequence[Sample] | None = None
    ) -> list[Outcome]:
        """What becomes of the test samples, with the threshold that `export` would choose."""
        threshold = choose_threshold(inspector, self.source.deciding, self.record.input)
        return self.judged(inspector, replace(self.record.limits, threshold=threshold), samples)

    def judged(
        self, inspector: Inspector, limits: Limits, samples: Sequence[Sample] | None = None
    ) -> list[Outcome]:
        """What becomes of the test samples, or of these, by those limits."""
        seen = predictions(inspector, samples or self.test, self.record.input)
        return [outcome(prediction, limits) for prediction in seen]

    def metrics(self, inspector: Inspector) -> dict[str, Any]:
        """Of INT8 throughout: as `compared` has them."""
        return self.compared(self.outcomes(inspector), 0)

    def compared(
        self, outcomes: Sequence[Outcome], float_layers: int | None = None
    ) -> dict[str, Any]:
        """Their metrics, and how many verdicts are other than those of the float network."""
        flipped = sum(a.opened != b.opened for a, b in zip(outcomes, self.exact, strict=True))
        return {**summary(outcomes, 0.0), "flipped": flipped, "float_layers": float_layers}

    def chosen(self, choice: Choice) -> list[Sample]:
        """The calibration images; none where the set has not got them."""
        share = choice.share
        if share == DEFECT_RICH and all(sample.defective for sample in self.training):
            share = 1.0
        wanted = {True: None, False: None} if share is None else _numbers(choice.images, share)
        have = {d: [s for s in self.training if s.defective == d] for d in (True, False)}
        if any((wanted[d] or 0) > len(have[d]) for d in have):
            return []
        if choice.at_random:
            pool = self.training if share is None else have[False]
            return random.Random(self.seed).sample(pool, min(choice.images, len(pool)))  # noqa: S311
        return [s for s, _, _ in choose(self.training, self.embeddings, choice.images, share or 0)]

    def quantizer(self, samples: Sequence[Sample]) -> Quantizer:
        """What quantises by these images; the same images are looked at once."""
        names = tuple(sample.name for sample in samples)
        if names not in self.quantizers:
            root, spec = self.source.dataset.root, self.record.input
            images = tuple(record_of(s.image, s.name, "", "") for s in samples)
            tiles = calibration_tiles(images, root, self.float, spec)
            ranges = activation_ranges(self.folder / "model.onnx", tiles, RangeMethod.MINMAX)
            calibration = Calibration(
                CalibrationSet(1, "", "", 0.0, images),
                Scales(1, RangeMethod.MINMAX, "", "", ranges),
            )
            exact = Judged(self.float, None, ())
            self.quantizers[names] = Quantizer(
                self.model, calibration, self.source, exact, self.folder
            )
        return self.quantizers[names]

    def quantized(
        self, choice: Choice, kinds: Sequence[Kind] = (CPU, TENSORRT)
    ) -> dict[str, dict[str, Any]]:
        """The metrics of the renderings `kinds`, by name, over the images of `choice`."""
        samples = self.chosen(choice)
        if not samples:
            return {}
        quantizer = self.quantizer(samples)
        if choice.exported:
            return self.exported(quantizer)
        if choice.model_optimizer:
            optimized = self.model_optimized(quantizer.tiles(choice.images))
            return {TENSORRT.name: self.metrics(optimized)}
        ranges = quantizer.calibration.scales.ranges
        found = {}
        for kind in kinds:
            with tempfile.TemporaryDirectory() as beside:
                folder = Path(beside) / kind.name
                if choice.corrected:
                    model = quantizer.quantized(kind, ())
                else:
                    model = kind.quantize(self.model, ranges, ())
                write_split(model, folder, kind.border.format)
                found[kind.name] = self.metrics(self.inspector(folder, kind))
        return found

    def exported(self, quantizer: Quantizer) -> dict[str, dict[str, Any]]:
        """With the layers in float that `export` finds; nothing where it would refuse."""
        judged = judge(self.folder / "float", self.source)
        found, leader = {}, None
        for kind in (CPU, TENSORRT):
            rendering, cost = held(replace(quantizer, exact=judged), kind, leader)
            if cost.broken:
                return {}
            inspector, n_float = rendering.judged.inspector, len(cost.float_layers)
            leader = leader or rendering.judged
            outcomes = self.judged(inspector, inspector.limits)
            found[kind.name] = self.compared(outcomes, n_float)
        return found

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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--runs", type=Path, required=True, help="what ablation.py trained")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--model-optimizer", type=Path, help="folder with NVIDIA's Model-Optimizer")
    parser.add_argument("--write", action="store_true", help="put the tables into export/README.md")
    asked = parser.parse_args()
    runs = [run_of(asked.runs, name, seed) for name in SETS for seed in range(asked.seeds)]
    lacking = [run.name for run in runs if not (run / RECORD).exists()]
    if lacking:
        parser.error(f"{asked.runs} lacks {', '.join(lacking)}: run ablation.py")
    choices = ROWS
    if asked.model_optimizer:
        sys.path.append(str(asked.model_optimizer))
        choices += (OPTIMIZED,)
    choices += (EXPORTED,)
    asked.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for name in SETS:
        results = [
            measured(asked.runs, asked.sets, asked.out, name, seed, choices)
            for seed in range(asked.seeds)
        ]
        tables.append(results_table(name, results, choices))
    text = "\n\n".join(tables)
    sys.stdout.write(text + "\n")
    if asked.write:
        put("export/README.md", "int8", text)


def run_of(runs: Path, name: str, seed: int) -> Path:
    """Where `ablation.py` left the whole method's network."""
    row = list(ablation.ROWS).index("defectgate")
    return ablation.result_of(runs, name, row, seed).with_suffix("")


def results_of(run: Path, out: Path) -> tuple[Path, dict[str, Any]]:
    """The file in `out` that keeps what is measured of a network, and what it holds of this one."""
    kept, weights = out / f"{run.name}.json", load_record(run).weights_sha256
    results = json.loads(kept.read_bytes()) if kept.exists() else {}
    return kept, results if results.get("weights") == weights else {"weights": weights}


def measured(
    runs: Path, sets: Path, out: Path, name: str, seed: int, choices: Sequence[Choice]
) -> dict[str, Any]:
    """The metrics of one network by row, kept in `out` from one call to the next."""
    run = run_of(runs, name, seed)
    kept, results = results_of(run, out)
    missing = [choice for choice in choices if choice.title not in results]
    if not missing and NOISY in results:
        return results
    with tempfile.TemporaryDirectory() as folder:
        network = Network(run, sets / name, Path(folder), seed)
        results[FLOAT] = {"": network.compared(network.exact)}
        if NOISY not in results:
            noisy = network.outcomes(network.float, network.noisy())
            results[NOISY] = {"": network.compared(noisy)}
            write_atomically(kept, json.dumps(results).encode())
        for choice in missing:
            console.print(f"{run.name}: {choice.title}")
            results[choice.title] = network.quantized(choice)
            write_atomically(kept, json.dumps(results).encode())
    return results


def results_table(name: str, results: list[dict[str, Any]], choices: Sequence[Choice]) -> str:
    """The rows of one dataset: mean and spread (lowest to highest) over the seeds.

    Seeds without a result, such as one that `export` would refuse, are left out and told.
    """
    rows = []
    for title in (FLOAT, NOISY, *(choice.title for choice in choices)):
        kinds = dict.fromkeys(kind for result in results for kind in result[title])
        for kind in kinds or [""]:
            found = [result[title][kind] for result in results if kind in result[title]]
            some = f" ({len(found)} of {len(results)})" if 0 < len(found) < len(results) else ""
            cells = [cell([f[key] for f in found]) for key in COLUMNS.values()]
            rows.append([title + some, kind, *cells])
    names = ["images", "rendering", *COLUMNS]
    return table(f"{name}, test split, {len(results)} seeds", names, rows)


def _numbers(images: int, share: float) -> dict[bool, int | None]:
    defective = round(images * share)
    return {True: defective, False: images - defective}


if __name__ == "__main__":
    main()
