"""What pages show of a recipe's stages: the graph in two drawings, and each stage with its curves and its log."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from seedstock.web.views.common import Fact
from seedstock.web.views.plots import PlotView


class StageState(StrEnum):
    """How a stage stands."""

    PLANNED = "planned"
    """Nothing runs: the graph is that of a recipe."""
    WAITING = "waiting"
    RUNNING = "running"
    REUSED = "reused"
    DONE = "done"
    FAILED = "failed"


class NodeView(msgspec.Struct, frozen=True):
    """A box of a drawing; `href` leads to the stage, and an input has none."""

    name: str
    label: str
    """The name, cut to what fits."""
    kind: str
    """The operation, or what an input is."""
    x: float
    y: float
    width: float
    height: float
    state: StageState | None = None
    """None: an input."""
    href: str | None = None
    spark: str = ""
    """The path of its curve, within its box."""


class EdgeView(msgspec.Struct, frozen=True):
    """A line from what a stage takes to the stage."""

    source: str
    target: str
    path: str


class DrawingView(msgspec.Struct, frozen=True):
    """A graph with its places decided."""

    width: float
    height: float
    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]


class StageView(msgspec.Struct, frozen=True):
    """A stage of a recipe; `inputs` as `role: source`."""

    name: str
    op: str
    inputs: tuple[str, ...]
    settings: tuple[Fact, ...] = ()
    state: StageState = StageState.PLANNED
    took: str = ""
    plots: tuple[PlotView, ...] = ()
    series_json: str = "[]"
    """For the script: points by name."""
    spark: str = ""
    """The path of its curve in small, where that is all that is shown."""
    log_href: str | None = None
    open: bool = False


class StagesView(msgspec.Struct, frozen=True):
    """The graph of a recipe and its stages; with `job`, a script keeps them up to date."""

    wide: DrawingView
    tall: DrawingView
    stages: tuple[StageView, ...]
    summary: str
    """The graph in words."""
    job: int | None = None
    newest: int = 0
    run: str = ""
    """Which of several runs of one job this is."""
    groups_json: str = "[]"
