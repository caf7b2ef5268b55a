"""What is drawn of what a training measures."""

from __future__ import annotations

import msgspec


class SeriesView(msgspec.Struct, frozen=True):
    """One line of a plot: points of step and value, None where it was no number."""

    name: str
    points: tuple[tuple[int, float | None], ...]


class PlotView(msgspec.Struct, frozen=True):
    """What is drawn in one plot: `loss` with `eval_loss`, and so on."""

    title: str
    series: tuple[SeriesView, ...]
