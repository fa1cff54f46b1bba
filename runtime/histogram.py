"""Draws latencies as an SVG picture: a row of bars for each phase, all on one axis of ms."""

from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from runtime.benchmark import Report

Numbers = npt.NDArray[np.float64]

WIDTH, ROW, LEFT, BINS = 720, 96, 70, 120
STYLE = "font: 12px sans-serif; fill: #222"


def histogram(report: Report) -> str:
    """An SVG document; the axis is logarithmic, and a line marks each p99."""
    latencies = {
        name: np.concatenate([np.asarray(turn) for turn in phase.turns])
        for name, phase in report.phases.items()
    }
    every = np.concatenate(list(latencies.values()))
    axis = np.geomspace(every.min() * 0.95, every.max() * 1.05, BINS + 1)
    height = 30 + ROW * len(latencies) + 30
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            _text(8, 18, f"{report.engine}, {report.precision}, {report.machine.model}: ms"),
            *(
                _row(name, times, axis, 30 + ROW * index)
                for index, (name, times) in enumerate(latencies.items())
            ),
            *(_tick(ms, axis, height) for ms in _round_numbers(axis)),
            "</svg>\n",
        ]
    )


def _row(name: str, times: Numbers, axis: Numbers, top: int) -> str:
    counts = np.histogram(times, axis)[0]
    room, bottom = ROW - 26, top + ROW - 8
    bars = [
        f'<rect x="{_x(left, axis):.1f}" y="{bottom - room * count / counts.max():.1f}" '
        f'width="{(WIDTH - LEFT - 20) / BINS:.1f}" height="{room * count / counts.max():.1f}"/>'
        for left, count in zip(axis, counts, strict=False)
        if count
    ]
    p99 = float(np.percentile(times, 99, method="inverted_cdf"))
    said = f"p50 {np.median(times):.2f} ms, p99 {p99:.2f} ms, n {len(times)}"
    return "\n".join(
        [
            _text(8, bottom, name),
            _text(LEFT, top + 12, said),
            f'<g fill="#3b6ea5">{"".join(bars)}</g>',
            _line(_x(p99, axis), bottom - room, bottom, "#c33"),
        ]
    )


def _tick(ms: float, axis: Numbers, height: int) -> str:
    x = _x(ms, axis)
    return _line(x, height - 30, height - 24, "#222") + _text(x - 6, height - 10, f"{ms:g}")


def _round_numbers(axis: Numbers) -> list[float]:
    """1, 2 and 5 in every decade of the axis."""
    decades = range(int(np.floor(np.log10(axis[0]))), int(np.ceil(np.log10(axis[-1]))) + 1)
    numbers = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    return [number for number in numbers if axis[0] <= number <= axis[-1]]


def _x(ms: float, axis: Numbers) -> float:
    share = np.log(ms / axis[0]) / np.log(axis[-1] / axis[0])
    return float(LEFT + (WIDTH - LEFT - 20) * share)


def _line(x: float, top: float, bottom: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{STYLE}">{escape(text)}</text>'
