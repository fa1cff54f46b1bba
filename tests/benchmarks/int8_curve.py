"""What the calibration images do to INT8: how many there are, and which share is defective.

    python tests/benchmarks/int8_curve.py --sets FOLDER --runs runs/ablation --out runs/curve

As int8.py does it, for the TensorRT rendering of each set's first network, on the test split. With
--write the table goes into export/README.md and the picture beside it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from int8 import COLUMNS, DEFECT_RICH, SETS, Choice, Network, console
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import ROOT, cell, put, table

from export.renderings import TENSORRT

SHARES, NUMBERS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0), (8, 16, 32, 64, 128, 256)
BY_SHARE = {share: Choice(f"32, {share:.0%} defective", share=share) for share in SHARES}
RICH = {n: Choice(f"{n}, {DEFECT_RICH:.0%} defective", n) for n in NUMBERS}
RANDOM = {n: Choice(f"{n} random", n, share=None, at_random=True) for n in NUMBERS}
CHOICES = list(dict.fromkeys([*BY_SHARE.values(), *RICH.values(), *RANDOM.values()]))
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
    results = {n: measured(asked.runs / f"{n}-row2-seed0", asked.sets / n, asked.out) for n in SETS}
    text = "\n\n".join(results_table(name, found) for name, found in results.items())
    sys.stdout.write(text + "\n")
    if asked.write:
        put("export/README.md", "curve", text)
        picture(results).savefig(ROOT / "export" / "calibration.svg", metadata={"Date": None})


def measured(run: Path, data: Path, out: Path) -> Results:
    """The metrics of one network by choice, kept in `out` from one call to the next."""
    kept = out / f"{run.name}.json"
    results: dict[str, dict[str, Any]] = json.loads(kept.read_bytes()) if kept.exists() else {}
    missing = [choice for choice in CHOICES if choice.title not in results]
    if not missing:
        return results
    with tempfile.TemporaryDirectory() as folder:
        network = Network(run, data, Path(folder), 0)
        results["float"] = network.metrics(network.exact)
        for choice in missing:
            console.print(f"{run.name}: {choice.title}")
            found = dict(network.quantized(choice, [TENSORRT]))
            results[choice.title] = found.get(TENSORRT.name, {})
            kept.write_text(json.dumps(results), encoding="utf-8")
    return results


def results_table(name: str, results: Results) -> str:
    """The rows of one dataset; none where it has not got the images."""
    columns = {title: key for title, key in COLUMNS.items() if title != "in float"}
    rows = [
        [title, *(_plain(results[title].get(key)) for key in columns.values())]
        for title in ("float", *(choice.title for choice in CHOICES))
        if results[title]
    ]
    return table(f"{name}, test split, one network", ["images", *columns], rows)


def _plain(value: float | None) -> str:
    return str(value) if isinstance(value, int) else cell([value]).split(" ", maxsplit=1)[0]


def picture(results: Mapping[str, Results]) -> Figure:
    """A row for each dataset: by the defective share on the left, by the number on the right."""
    figure = Figure(figsize=(9, 3.2 * len(results)), layout="constrained")
    grid = figure.subplots(len(results), 2, squeeze=False)
    for (left, right), (name, found) in zip(grid, results.items(), strict=True):
        left.set(title=f"{name}, 32 images", xlabel="defective share")
        right.set(title=f"{name}, 70 % defective (dashed: random)", xlabel="images")
        right.set_xscale("log", base=2)
        for title, colour in DRAWN.items():
            key = COLUMNS[title]
            for axes in (left, right):
                exact = found["float"][key]
                if exact is not None:
                    axes.axhline(exact, color=colour, linewidth=0.6, alpha=0.5)
            _line(left, found, BY_SHARE, key, color=colour, label=title)
            _line(right, found, RICH, key, color=colour, label=title)
            _line(right, found, RANDOM, key, color=colour, linestyle="--")
    grid[0][0].legend()
    return figure


def _line(
    axes: Axes, found: Results, choices: Mapping[float, Choice], key: str, **style: Any
) -> None:
    points = [(x, found[choice.title].get(key)) for x, choice in choices.items()]
    known = [(x, y) for x, y in points if y is not None]
    axes.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=3, **style)


if __name__ == "__main__":
    main()
