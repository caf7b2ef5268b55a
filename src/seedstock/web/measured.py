"""What a training measured, as series by name and the plots that are drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedstock.db.job_events import EventRow
from seedstock.web.views.plots import PlotView, SeriesView

PLOTS = (
    ("Loss", ("loss", "eval_loss")),
    ("Reward", ("reward", "eval_reward")),
    ("Score", ("score",)),
    ("KL", ("kl",)),
    ("Completion length", ("completion_length", "completions/mean_length")),
    ("Accuracy", ("accuracy", "mean_token_accuracy", "rewards/accuracies")),
    ("Tokens per second", ("tokens_per_s",)),
)
Series = dict[str, list[tuple[int, float | None]]]
_NO_SERIES = frozenset({"step", "run", "stage"})


def series_of(metrics: Sequence[EventRow]) -> Series:
    """Points by name. Of steps that an attempt repeated after a checkpoint, the newer values count."""
    found: Series = {}
    for row in metrics:
        data: dict[str, Any] = row.data or {}
        step = data["step"]
        for name, value in data.items():
            if name in _NO_SERIES or isinstance(value, bool) or not isinstance(value, int | float | None):
                continue
            points = found.setdefault(name, [])
            while points and points[-1][0] >= step:
                points.pop()
            points.append((step, value))
    return found


def plots_of(series: Series) -> tuple[PlotView, ...]:
    """The plots for which something was measured."""
    found = []
    for title, names in PLOTS:
        there = tuple(SeriesView(name, tuple(series[name])) for name in names if name in series)
        if there:
            found.append(PlotView(title, there))
    return tuple(found)
