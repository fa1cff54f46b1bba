"""Which settings train best, over folds by object, without a look at test.

    python tests/benchmarks/choose.py --data FOLDER/magnetic_tile --out runs/choose
        --settings '{"epochs": 32}' --settings '{"epochs": 32, "freeze_early": false}'

The samples of train and val are cut into folds, no object in two. Each setting learns without a
fold and is measured on it, where its limits are chosen too: a favour that is the same for all. What
is finished is not done again.
"""

import argparse
import csv
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ablation import COLUMNS, measure_apart
from sklearn.model_selection import StratifiedGroupKFold
from tables import cell, table


def main() -> None:
    """Run what is not done yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="a dataset with a split.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for folds and runs")
    parser.add_argument("--settings", type=json.loads, action="append", required=True)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at once")
    asked = parser.parse_args()
    folds = write_folds(asked.data, asked.out, asked.folds)
    runs = [(settings, fold) for fold in folds for settings in asked.settings]
    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(lambda run: measure_apart(run[1], result_of(*run), run[0], ["val"]), runs))
    rows = []
    for settings in asked.settings:
        results = [json.loads(result_of(settings, fold).read_bytes()) for fold in folds]
        cells = [cell([metrics[key] for metrics in results]) for key in COLUMNS.values()]
        rows.append([f"`{json.dumps(settings)}`", *cells])
    title = f"{asked.data.name}, {asked.folds} folds by object"
    sys.stdout.write(table(title, ["", *COLUMNS], rows) + "\n")


def write_folds(data: Path, out: Path, count: int) -> list[Path]:
    """Datasets that are the one of `data` without test, each with another fold as its val."""
    with (data / "split.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] != "test"]
    for row in rows:
        row |= {name: str((data / row[name]).resolve()) for name in ("file", "mask") if row[name]}
    kinds, groups = [row["class"] for row in rows], [row["group"] for row in rows]
    cut = StratifiedGroupKFold(count, shuffle=True, random_state=0).split(rows, kinds, groups)
    folds = []
    for number, (_, held_out) in enumerate(cut):
        folds.append(out / f"fold{number}")
        folds[-1].mkdir(parents=True, exist_ok=True)
        with (folds[-1] / "split.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for at, row in enumerate(rows):
                writer.writerow(row | {"split": "val" if at in held_out else "train"})
    return folds


def result_of(settings: dict[str, object], fold: Path) -> Path:
    """Where the numbers of one run are."""
    named = "-".join(f"{name}={value}" for name, value in sorted(settings.items())) or "default"
    return fold.parent / f"{named}-{fold.name}.json"


if __name__ == "__main__":
    main()
