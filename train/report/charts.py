"""The report's charts, as SVG that takes its colours and letters from the page around it."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.cells import cell_len, set_cell_size

from runtime.spec import Limits
from train.breakdown import Part
from train.metrics import Outcome
from train.report.scores import Scale, bin_edges, scale_of

# What a chart is drawn with, and the page's name for it: the page knows whether it is dark.
INK, MUTED, GOOD, DEFECTIVE, WRONG, BESIDE = (f"#{n:06x}" for n in range(0x1F0001, 0x1F0007))
COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GOOD: "var(--good)",
    DEFECTIVE: "var(--defective)",
    WRONG: "var(--wrong)",
    BESIDE: "var(--beside)",
}
SERIES = (DEFECTIVE, BESIDE)
LINES = ("solid", "dashed")
SCORE_TICKS = (1e-6, 1e-4, 0.01, 0.5, 0.99, 0.9999, 1 - 1e-6)
LABEL_LETTERS = 40
STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
Parts: TypeAlias = Mapping[str, Sequence[Part]]


def score_histogram(outcomes: Sequence[Outcome], limits: Limits) -> Markup:
    """Good samples above, defective ones below, with the limits; red is on their wrong side.

    The threshold is drawn through, the end of what a person sees dashed: that is no wrong side.
    """
    marks = [limits.threshold]
    if limits.review_below > limits.threshold:
        marks.append(limits.review_below)
    good = [o.score for o in outcomes if not o.defective]
    defective = [o.score for o in outcomes if o.defective]
    with mpl.rc_context(STYLE):
        figure = Figure((5.2, 3.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        _bars(above, good, marks, marks[-1], (GOOD, WRONG))
        _bars(below, defective, marks, marks[0], (WRONG, DEFECTIVE))
        above.set_ylabel("good")
        below.set_ylabel("defective")
        _score_axis(below, scale_of(marks))
        return _svg(figure, "scores")


def count_ticks(top: int) -> list[int]:
    """0, the largest count, and round ones between whose roots lie well apart."""
    ticks = [0]
    for n in (1, 5, 20, 100, 500, 2000, 10_000, 50_000):
        gap = 0.17 * top**0.5
        if n**0.5 - ticks[-1] ** 0.5 >= gap and top**0.5 - n**0.5 >= gap:
            ticks.append(n)
    return [*ticks, max(1, top)]


def precision_recall(models: Mapping[str, Sequence[Outcome]]) -> Markup:
    """The curve of each model, by its title, and the point at which it runs."""
    with mpl.rc_context(STYLE):
        figure = Figure((5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        for (title, outcomes), colour, line in zip(models.items(), SERIES, LINES, strict=False):
            _curve(axes, outcomes, title, colour, line)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall", ylabel="precision")
        if axes.lines:
            axes.legend(loc="lower left")
        return _svg(figure, "precision-recall")


def recall_of_parts(name: str, models: Parts) -> Markup:
    """The gate's recall in each part of the defective samples, with its interval."""
    with mpl.rc_context(STYLE):
        labels = [part.name for parts in models.values() for part in parts]
        rows = {label: -row for row, label in enumerate(dict.fromkeys(labels))}
        figure = Figure((5.2, 0.7 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for index, (title, parts) in enumerate(models.items()):
            _whiskers(axes, parts, rows, index, title)
        axes.set(xlim=(-0.02, 1.02), ylim=(-len(rows) + 0.4, 0.6), xlabel="recall of the gate")
        axes.set_yticks(list(rows.values()), [_label(name) for name in rows])
        axes.grid(axis="x", color=MUTED, alpha=0.25)
        return _svg(figure, name)


def _bars(
    axes: Axes,
    scores: Sequence[float],
    marks: Sequence[float],
    turn: float,
    colours: tuple[str, str],
) -> None:
    """A bar for each bin, its height the root of its count, so that a single sample is seen.

    `colours` are those of the scores below `turn`, and from there on.
    """
    edges, place = bin_edges(marks), scale_of(marks).place
    counts, _ = np.histogram(np.clip(scores, 0, 1), edges)
    places = np.array([place(edge) for edge in edges])
    full = np.flatnonzero(counts)
    colour = [colours[int(edges[left] >= turn)] for left in full]
    widths = np.diff(places)[full]
    axes.bar(places[full], np.sqrt(counts[full]), widths, align="edge", color=colour)
    for mark, line in zip(marks, LINES, strict=False):
        axes.axvline(place(mark), color=INK, linewidth=1, linestyle=line)
    ticks = count_ticks(int(counts.max(initial=0)))
    axes.set_yticks(np.sqrt(ticks), [str(n) for n in ticks])
    axes.set_xlim(places[0], places[-1])


def _score_axis(axes: Axes, scale: Scale) -> None:
    axes.set_xlabel("score, in log-odds" if scale.by_odds else "score")
    if scale.by_odds:
        axes.set_xticks([scale.place(s) for s in SCORE_TICKS], [f"{s:g}" for s in SCORE_TICKS])


def _curve(axes: Axes, outcomes: Sequence[Outcome], title: str, colour: str, line: str) -> None:
    from sklearn.metrics import precision_recall_curve

    labels = [o.defective for o in outcomes]
    if not any(labels):
        return
    precision, recall, _ = precision_recall_curve(labels, [o.score for o in outcomes])
    axes.step(recall, precision, where="post", color=colour, linestyle=line, label=title)
    opened = [o.defective for o in outcomes if o.opened]
    if opened:
        axes.plot(
            sum(opened) / sum(labels),
            sum(opened) / len(opened),
            marker="o" if line == "solid" else "s",
            color=colour,
            linestyle="none",
            label=f"{title}: at its threshold",
        )


def _whiskers(
    axes: Axes, parts: Sequence[Part], rows: Mapping[str, int], index: int, title: str
) -> None:
    known = [(part, part.interval) for part in parts if part.interval]
    shares = [part.recall for part, _ in known]
    axes.errorbar(
        shares,
        [rows[part.name] - 0.22 * index for part, _ in known],
        xerr=[
            [max(0.0, part.recall - low) for part, (low, _) in known],
            [max(0.0, high - part.recall) for part, (_, high) in known],
        ],
        fmt="os"[index],
        markersize=5,
        color=SERIES[index],
        capsize=2,
        label=title,
    )


def _label(name: str) -> str:
    """At most forty letters, of wide ones half as many: the table beside has the whole name."""
    if cell_len(name) <= LABEL_LETTERS:
        return name
    return set_cell_size(name, LABEL_LETTERS - 1).rstrip() + "…"


def _svg(figure: Figure, name: str) -> Markup:
    """The drawing alone, without the file around it; the same bytes for the same figure."""
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the letters are the browser's
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)[ >].*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"'DejaVu Sans'", "system-ui, sans-serif", text)
    for colour, variable in COLOURS.items():
        text = text.replace(colour, variable)
    return Markup(text)  # noqa: S704 - matplotlib escapes what it writes
