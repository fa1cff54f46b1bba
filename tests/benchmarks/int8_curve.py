"""What the calibration images do to INT8: how many there are, and which share is defective.

    python tests/benchmarks/int8_curve.py --sets FOLDER --runs runs/ablation --out runs/curve

As int8.py does it, for the TensorRT rendering of the first network of magnetic_tile, on the test
split, with biases as they are: it is the ranges that hang on the images. With --write the table
goes into export/README.md and the picture beside it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from int8 import COLUMNS, DEFECT_RICH, Choice, Network, console, results_of, run_of
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import ROOT, cell, put, table

from export.renderings import TENSORRT
from runtime.record import write_atomically

SHARES, NUMBERS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0), (8, 16, 32, 64, 128, 256)
Ranges = partial(Choice, corrected=False)
BY_SHARE = {share: Ranges(f"32, {share:.0%} defective", share=share) for share in SHARES}
RICH = {n: Ranges(f"{n}, {DEFECT_RICH:.0%} defective", n) for n in NUMBERS}
RANDOM = {n: Ranges(f"{n} random", n, share=None, at_random=True) for n in NUMBERS}
CHOICES = list(dict.fromkeys([*BY_SHARE.values(), *RICH.values(), *RANDOM.values()]))
SET = "magnetic_tile"
DRAWN = {"Seg_Recall": "C0", "Seg_mIoU": "C1", "image AP": "C2"}
Results = Mapping[str, dict[str, Any]]


def main() -> None:
    """Measure what is not measured yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--runs", type=Path, required=True, help="what ablation.py trained")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--write", action="store_true", help="put them into export/")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    results = measured(asked.runs, asked.sets / SET, asked.out)
    text = results_table(results)
    sys.stdout.write(text + "\n")
    if asked.write:
        put("export/README.md", "curve", text)
        picture(results).savefig(ROOT / "export" / "calibration.svg", metadata={"Date": None})


def measured(runs: Path, data: Path, out: Path) -> Results:
    """The metrics of one network by choice, kept in `out` from one call to the next."""
    run = run_of(runs, SET, 0)
    kept, results = results_of(run, out)
    missing = [choice for choice in CHOICES if choice.title not in results]
    if not missing:
        return results
    with tempfile.TemporaryDirectory() as folder:
        network = Network(run, data, Path(folder), 0)
        results["float"] = network.compared(network.exact)
        for choice in missing:
            console.print(f"{run.name}: {choice.title}")
            found = network.quantized(choice, [TENSORRT])
            results[choice.title] = found.get(TENSORRT.name, {})
            write_atomically(kept, json.dumps(results).encode())
    return results


def results_table(results: Results) -> str:
    """A row for each choice of images; none where there are not so many."""
    columns = {title: key for title, key in COLUMNS.items() if title != "in float"}
    rows = [
        [title, *(_plain(results[title].get(key)) for key in columns.values())]
        for title in ("float", *(choice.title for choice in CHOICES))
        if results[title]
    ]
    return table(f"{SET}, test split, one network", ["images", *columns], rows)


def _plain(value: float | None) -> str:
    return str(value) if isinstance(value, int) else cell([value]).split(" ", maxsplit=1)[0]


def picture(found: Results) -> Figure:
    """By the defective share on the left, by the number on the right."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set(title=f"{SET}, 32 images", xlabel="defective share")
    right.set(title=f"{DEFECT_RICH:.0%} defective (dashed: random)", xlabel="images")
    right.set_xscale("log", base=2)
    for title, colour in DRAWN.items():
        key = COLUMNS[title]
        for axes in (left, right):
            axes.axhline(found["float"][key], color=colour, linewidth=0.6, alpha=0.5)
        _line(left, found, BY_SHARE, key, color=colour, label=title)
        _line(right, found, RICH, key, color=colour)
        _line(right, found, RANDOM, key, color=colour, linestyle="--")
    left.legend()
    return figure


def _line(
    axes: Axes, found: Results, choices: Mapping[float, Choice], key: str, **style: Any
) -> None:
    points = [(x, found[choice.title].get(key)) for x, choice in choices.items()]
    known = [(x, y) for x, y in points if y is not None]
    axes.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=3, **style)


if __name__ == "__main__":
    main()
