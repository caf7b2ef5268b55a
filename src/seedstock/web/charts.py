"""Charts as numbers: what templates write into inline SVG. No styles, only geometry and labels."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seedstock.web.filters import count
from seedstock.web.views.evidence import LayerChartView
from seedstock.web.views.foundations import TrendView
from seedstock.web.views.usage import UsageDayView

WIDTH = 720
_LEFT, _RIGHT, _TOP = 40, 8, 10
AREA_HEIGHT, BAR_HEIGHT = 230, 170
_FOOT = 24
_MOST_TICKS = 8


class Tick(msgspec.Struct, frozen=True):
    """A label at a position along one axis."""

    at: float
    label: str


class Area(msgspec.Struct, frozen=True):
    """One band of a stacked chart as an SVG path."""

    label: str
    tone: int
    path: str
    last: int


class AreaChart(msgspec.Struct, frozen=True):
    """Bands from the bottom up, with heights at which to draw a line, and moments along the foot."""

    areas: tuple[Area, ...]
    heights: tuple[Tick, ...]
    moments: tuple[Tick, ...]
    base: float = AREA_HEIGHT - _FOOT


class Bar(msgspec.Struct, frozen=True):
    """One bar; `kind` is empty, `low` (under the threshold) or `moved` (matched with another layer), or a tone."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


class BarChart(msgspec.Struct, frozen=True):
    """Bars from 0 to 1 with a threshold line, which is None where no rule uses one."""

    bars: tuple[Bar, ...]
    heights: tuple[Tick, ...]
    moments: tuple[Tick, ...]
    threshold: float | None
    base: float = BAR_HEIGHT - _FOOT


def area_chart(view: TrendView) -> AreaChart:
    """Stacked areas of a trend; a single moment is drawn as a level line."""
    moments = view.moments if len(view.moments) > 1 else view.moments * 2
    span = max(1, len(moments) - 1)
    xs = [_LEFT + (WIDTH - _LEFT - _RIGHT) * i / span for i in range(len(moments))]
    stacked = [[0] * len(moments)]
    for _, _, values in view.series:
        padded = values if len(values) == len(moments) else values * 2
        stacked.append([below + value for below, value in zip(stacked[-1], padded, strict=True)])
    top = nice_top(max(stacked[-1], default=0))
    height = AREA_HEIGHT - _FOOT - _TOP

    def y(value: float) -> float:
        return round(_TOP + height * (1 - value / top), 1)

    areas = []
    for (label, tone, values), low, high in zip(view.series, stacked, stacked[1:], strict=False):
        there = " L".join(f"{x:.1f} {y(value)}" for x, value in zip(xs, high, strict=True))
        back = " L".join(f"{x:.1f} {y(value)}" for x, value in reversed(list(zip(xs, low, strict=True))))
        areas.append(Area(label, tone, f"M{there} L{back} Z", values[-1] if values else 0))
    lines = tuple(Tick(y(top * part / 2), f"{top * part // 2:,}") for part in (0, 1, 2))
    return AreaChart(tuple(areas), lines, _ticks(xs, moments))


def layer_chart(view: LayerChartView) -> BarChart:
    """Bars by layer, clipped to 0..1."""
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(view.layers))
    gap = min(4.0, step * 0.2)
    height = BAR_HEIGHT - _FOOT - _TOP
    bars = []
    for i, layer in enumerate(view.layers):
        value = min(1.0, max(0.0, layer.value))
        low = view.threshold is not None and layer.value < view.threshold
        kind = "low" if low else ("moved" if layer.matched else "")
        matched = f", matched with {layer.matched}" if layer.matched else ""
        bars.append(
            Bar(
                round(_LEFT + i * step + gap / 2, 2),
                round(_TOP + height * (1 - value), 1),
                round(step - gap, 2),
                round(max(height * value, 0.8), 1),
                kind,
                f"{layer.label}: {layer.value:.3f}{matched}",
            )
        )
    xs = [_LEFT + (i + 0.5) * step for i in range(len(view.layers))]
    lines = tuple(Tick(round(_TOP + height * (1 - part), 1), f"{part:g}") for part in (0, 0.5, 1))
    threshold = None if view.threshold is None else round(_TOP + height * (1 - view.threshold), 1)
    return BarChart(
        tuple(bars), lines, _ticks(xs, tuple(layer.label for layer in view.layers)), threshold=threshold
    )


def usage_chart(days: Sequence[UsageDayView]) -> BarChart:
    """Prompts and answers on top of each other, a bar for each day; the heights are tokens."""
    top = nice_top(max((day.prompt + day.answer for day in days), default=0))
    left, height = _LEFT + 8, BAR_HEIGHT - _FOOT - _TOP
    step = (WIDTH - left - _RIGHT) / max(1, len(days))
    gap = min(6.0, step * 0.25)
    bars = []
    for i, day in enumerate(days):
        title = f"{day.label}: {day.prompt:,} of prompts, {day.answer:,} of answers"
        base = float(BAR_HEIGHT - _FOOT)
        for kind, value in (("0", day.prompt), ("1", day.answer)):
            if value:
                tall = round(max(height * value / top, 0.8), 1)
                base = round(base - tall, 1)
                bars.append(
                    Bar(round(left + i * step + gap / 2, 2), base, round(step - gap, 2), tall, kind, title)
                )
    xs = [left + (i + 0.5) * step for i in range(len(days))]
    lines = tuple(
        Tick(round(_TOP + height * (1 - part / 2), 1), count(top * part // 2)) for part in (0, 1, 2)
    )
    return BarChart(tuple(bars), lines, _ticks(xs, tuple(day.label for day in days)), threshold=None)


def nice_top(most: int) -> int:
    """The least even number of one digit and zeros that is not below `most`, so that its half is whole."""
    scale = 1
    while True:
        for factor in (2, 3, 4, 5, 6, 8, 10):
            if factor * scale >= most and factor * scale % 2 == 0:
                return factor * scale
        scale *= 10


def _ticks(xs: list[float], labels: tuple[str, ...]) -> tuple[Tick, ...]:
    step = max(1, -(-len(labels) // _MOST_TICKS))
    seen: dict[str, Tick] = {}
    for x, label in list(zip(xs, labels, strict=True))[::step]:
        seen.setdefault(label, Tick(round(x, 1), label))
    return tuple(seen.values())
