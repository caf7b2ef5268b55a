"""Plots of what a training measures, as numbers for inline SVG; `static/job-plots.js` draws the same while it runs."""

from __future__ import annotations

import msgspec

from seedstock.web.charts import Tick
from seedstock.web.views.plots import PlotView

WIDTH, HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _FOOT = 62, 10, 10, 22
_TICKS = 4


class Line(msgspec.Struct, frozen=True):
    """One series as an SVG path, with its last value."""

    name: str
    tone: int
    path: str
    last: str


class LineChart(msgspec.Struct, frozen=True):
    """Lines, heights at which to draw a rule, and the first and last step."""

    lines: tuple[Line, ...]
    heights: tuple[Tick, ...]
    steps: tuple[Tick, ...]


def line_chart(view: PlotView) -> LineChart:
    """The geometry of a plot; a value that was no number is a gap."""
    steps = [step for series in view.series for step, _ in series.points]
    values = [value for series in view.series for _, value in series.points if value is not None]
    first, last = (min(steps), max(steps)) if steps else (0, 1)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high == low:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    span = max(1, last - first)

    def x(step: int) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (step - first) / span, 1)

    def y(value: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _FOOT) * (high - value) / (high - low), 1)

    lines = []
    for tone, series in enumerate(view.series):
        path, pen = [], "M"
        for step, value in series.points:
            if value is not None:
                path.append(f"{pen}{x(step)} {y(value)}")
            pen = "M" if value is None else "L"
        known = [value for _, value in series.points if value is not None]
        lines.append(Line(series.name, tone, "".join(path), figure(known[-1]) if known else "–"))
    marks = [low + (high - low) * part / (_TICKS - 1) for part in range(_TICKS)]
    heights = tuple(Tick(y(mark), figure(mark, 3)) for mark in marks)
    ends = (first,) if first == last else (first, last)
    return LineChart(tuple(lines), heights, tuple(Tick(x(step), f"{step:,}") for step in ends))


def figure(value: float, digits: int = 4) -> str:
    """A measured value in a few digits."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
