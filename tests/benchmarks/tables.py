"""Tables of several seeds, as Markdown."""

import statistics
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def put(readme: str, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->` in the file `readme`."""
    path, begin, end = ROOT / readme, f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The title in bold and the rows under `names`; the first of those may be empty."""
    lines = [f"**{title}**", "", line(names), "|" + "---|" * len(names)]
    return "\n".join([*lines, *map(line, rows)])


def line(cells: Sequence[str]) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def cell(values: Sequence[float | None]) -> str:
    """Mean, and in brackets the lowest and the highest; counts with a digit less."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    digits = 1 if all(isinstance(value, int) for value in known) else 3
    mean, low, high = statistics.mean(known), min(known), max(known)
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
