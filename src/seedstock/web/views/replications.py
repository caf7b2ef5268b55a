"""What a model's recipe says and what replications of it showed."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Fact, Notice, Page
from seedstock.web.views.repos import RepoHeaderView
from seedstock.web.views.spot_checks import CheckedRunView
from seedstock.web.views.stages import StagesView, StageView


class BandView(msgspec.Struct, frozen=True):
    """A measured value with its interval, as percent along a line that both models share."""

    label: str
    low: float
    value: float
    high: float
    text: str


class ReplicationView(msgspec.Struct, frozen=True):
    """One replication; `tone` is good, warn or bad."""

    id: int
    verdict: str
    tone: str
    reason: str
    stage: str
    ran_by: str
    trust: str
    at: datetime
    smoke: bool
    record_href: str
    bands: tuple[BandView, ...] = ()
    stages: tuple[StageView, ...] = ()
    """As they ran."""
    lowered: str = ""
    """Why it is trusted less than who ran it says."""


class ReplicatePage(Page, frozen=True):
    """The recipe as a graph of stages, the button, and the table of replications."""

    template: ClassVar[str] = "repo_replicate.html"

    header: RepoHeaderView
    stages: StagesView | None
    inputs: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    changes: tuple[str, ...]
    replications: tuple[ReplicationView, ...]
    badges: tuple[str, ...] = ()
    may_run: bool = False
    code: tuple[str, ...] = ()
    """Stages and inputs that run code of the recipe's author."""
    job_state: str = ""
    """Of the viewer's replication that waits or runs; `stages` shows it."""
    checked: tuple[CheckedRunView, ...] = ()
    """Runs that the repo was published from, of which segments were run again."""
    notice: Notice | None = None
