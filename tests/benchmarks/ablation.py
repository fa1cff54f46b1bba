"""What each part of the method is worth: trains it with and without, and prints the tables.

    python tests/benchmarks/ablation.py --sets FOLDER --out runs/ablation

FOLDER holds the datasets below, each with train, val and test. Every row learns on train, chooses
on val and is measured once on test, with three seeds, on one core each; several share a GPU, where
there is one, best behind `nvidia-cuda-mps-control -d`. A run that is finished is not done again, so
a stopped command goes on where it was. The tables have the seeds that are whole, and under each how
far its last row is from the others, on val and on test, with an interval over objects; with --write
they go into train/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from tables import cell, put, table

from runtime.record import write_atomically
from train.dataset import read_dataset
from train.intervals import Floats, bootstrap, middle
from train.measured import Measured

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}  # one core each
PLAIN = {
    "augment": False,
    "average_decay": 0.0,
    "freeze_early": False,
    "decoder_alone": False,
    "locate_weight": 0.0,
    "cls_weight": 0.5,
}
ROWS = {
    "no classifier: the mask alone": PLAIN | {"classifier": False},
    "classifier, taught by the label (arXiv 2510.13226)": PLAIN,
    "defectgate": {},
}
SETS = {"magnetic_tile": {}, "deepcrack256": {}, "neu_seg3": {"by_class": True}}
COLUMNS = {
    "Seg_mIoU": "seg_miou",
    "gated": "gated_seg_miou_at_5",
    "Seg_Recall": "seg_recall_at_5",
    "image AP": "image_ap",
    "pooled mIoU": "pooled_miou",
    "class mIoU": "class_miou",
    "smallest quarter": "seg_recall_small_at_5",
}

SPLITS = ("val", "test")
DIFFERENCES = {"Seg_mIoU": "seg_miou", "image AP": "image_ap"}

console = Console(stderr=True)


def main() -> None:
    """Run what is not done yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at once")
    parser.add_argument("--write", action="store_true", help="put the tables into train/README.md")
    asked = parser.parse_args()
    runs = [
        (name, row, seed)
        for seed in range(asked.seeds)
        for name in SETS
        for row in range(len(ROWS))
    ]
    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(lambda run: measure(asked.sets, asked.out, *run), runs))
    parts = []
    for name in SETS:
        if seeds := whole_seeds(asked.out, name):
            parts += [results_table(asked.out, name, seeds), differences(asked.out, name, seeds)]
    text = "\n\n".join(parts)
    sys.stdout.write(text + "\n")
    if asked.write:
        put("train/README.md", "ablation", text)


def result_of(out: Path, name: str, row: int, seed: int) -> Path:
    """Where the numbers of one run are."""
    return out / f"{name}-row{row}-seed{seed}.json"


def measure(sets: Path, out: Path, name: str, row: int, seed: int) -> None:
    """Train and evaluate one run of the tables."""
    settings = SETS[name] | list(ROWS.values())[row] | {"seed": seed}
    measure_apart(sets / name, result_of(out, name, row, seed), settings, SPLITS)


def measure_apart(
    data: Path, result: Path, settings: dict[str, object], splits: Sequence[str]
) -> None:
    """Train and evaluate in a process of its own, unless that was done."""
    if result.exists():
        return
    result.parent.mkdir(parents=True, exist_ok=True)
    asked = [str(data), str(result), json.dumps(settings), *splits]
    command = [sys.executable, __file__, "one", *asked]
    with result.with_suffix(".log").open("a", encoding="utf-8") as log:
        environment = os.environ | ENVIRONMENT
        done = subprocess.run(command, check=False, stdout=log, stderr=log, env=environment)
    console.print(f"{result.stem}: {'failed, see' if done.returncode else 'done,'} {log.name}")


def one(data: Path, result: Path, changes: dict[str, object], splits: Sequence[str]) -> None:
    """Train with the settings `changes`; write draws of each split, and the last one's metrics."""
    import torch

    from train.checkpoint import RECORD
    from train.judge import judge_of
    from train.memory import keep_freed_memory
    from train.precision import has_fast
    from train.resume import STATE
    from train.scorecard import measure_all
    from train.settings import TrainSettings
    from train.training import train

    keep_freed_memory()
    run = result.with_suffix("")
    stopped = (run / STATE).exists()
    if not (run / RECORD).exists():
        fast = torch.cuda.is_available() or has_fast("bf16-mixed")
        precision = "bf16-mixed" if fast else "32-true"
        train(TrainSettings(data, run, precision=precision, resume=stopped, **changes))
    for split in splits:
        (measured,) = measure_all([judge_of(run)], read_dataset(data), split, None)
        np.save(draws_of(result, split), draws(measured))
    write_atomically(result, json.dumps(measured.record(), indent=2).encode() + b"\n")


def whole_seeds(out: Path, name: str) -> int:
    """How many seeds every row of a dataset has."""
    seeds = 0
    while all(result_of(out, name, row, seeds).exists() for row in range(len(ROWS))):
        seeds += 1
    return seeds


def results_table(out: Path, name: str, seeds: int) -> str:
    """The rows of one dataset, mean and spread over the seeds."""
    rows = []
    for row, title in enumerate(ROWS):
        files = [result_of(out, name, row, seed) for seed in range(seeds)]
        results = [json.loads(file.read_text("utf-8")) for file in files]
        cells = [cell([metrics[key] for metrics in results]) for key in COLUMNS.values()]
        rows.append([title, *cells])
    title = f"{name}, test split, {seeds} seed{'s' if seeds > 1 else ''}"
    return table(title, ["", *COLUMNS], rows)


def differences(out: Path, name: str, seeds: int) -> str:
    """The last row less each of the others, the mean of the seeds, with its 95 % interval."""
    drawn = {}
    for split in SPLITS:
        for row in range(len(ROWS)):
            runs = [result_of(out, name, row, seed) for seed in range(seeds)]
            drawn[split, row] = np.mean([np.load(draws_of(run, split)) for run in runs], axis=0)
    *others, last = range(len(ROWS))
    titles = list(ROWS)
    rows = [
        [f"less {titles[row]}"]
        + [
            signed(difference)
            for split in SPLITS
            for difference in drawn[split, last] - drawn[split, row]
        ]
        for row in others
    ]
    columns = [f"{split}, {column}" for split in SPLITS for column in DIFFERENCES]
    return table(f"{titles[last]}, difference, 95 % over objects", ["", *columns], rows)


def draws_of(result: Path, split: str) -> Path:
    """Where the draws of one run are."""
    return result.with_name(f"{result.stem}-{split}.npy")


def draws(measured: Measured) -> Floats:
    """The numbers of `DIFFERENCES` (2, 1 + 1000): as they are, then on each draw of objects."""
    drawn = bootstrap(measured.outcomes)
    found = {key: measured.metrics[key] for key in DIFFERENCES.values()}
    return np.asarray([[np.nan if v is None else v, *drawn[k]] for k, v in found.items()])


def signed(difference: Floats) -> str:
    """A difference as it is, and in brackets what 95 % of the draws lie between."""
    found, interval = difference[0], middle(difference[1:])
    return f"{found:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else "-"


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]), sys.argv[5:])
    else:
        main()
