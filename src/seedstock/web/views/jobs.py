"""What the pages about background jobs show."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Fact, Link, Notice, Page, Pagination
from seedstock.web.views.plots import PlotView
from seedstock.web.views.spot_checks import KeptView
from seedstock.web.views.stages import StagesView


class JobState(StrEnum):
    """States of a background job, as the pages colour them."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


class JobRowView(msgspec.Struct, frozen=True):
    """One background job of a list."""

    id: str
    kind: str
    state: JobState
    attempts: int
    max_attempts: int
    created_at: datetime
    subject: Link | None = None
    finished_at: datetime | None = None
    duration_s: float | None = None
    error: str | None = None
    percent: int | None = None
    account: str | None = None


class JobsPage(Page, frozen=True):
    """Background jobs: one's own, or everybody's for administrators."""

    template: ClassVar[str] = "jobs.html"

    jobs: tuple[JobRowView, ...]
    states: tuple[Choice, ...]
    pagination: Pagination
    everyone: bool = False


class SampleView(msgspec.Struct, frozen=True):
    """Something generated during training."""

    step: str
    prompt: str
    text: str


class LogLineView(msgspec.Struct, frozen=True):
    """One line of the log, with its time of day."""

    at: datetime
    text: str


class JobPage(Page, frozen=True):
    """One job, as it stands; a script keeps it up to date from the entry `newest` on."""

    template: ClassVar[str] = "job.html"

    id: int
    kind: str
    state: JobState
    facts: tuple[Fact, ...]
    newest: int
    percent: int | None = None
    message: str = ""
    left_in_words: str = ""
    error: str | None = None
    subject: Link | None = None
    result: Link | None = None
    stage: str = ""
    stages: StagesView | None = None
    plots: tuple[PlotView, ...] = ()
    samples: tuple[SampleView, ...] = ()
    log: tuple[LogLineView, ...] = ()
    log_is_cut: bool = False
    may_cancel: bool = False
    may_retry: bool = False
    asked_to_stop: bool = False
    finding: Notice | None = None
    """Of a spot check that has ended."""
    segment: Link | None = None
    """What a spot check is of."""
    kept: KeptView | None = None
    """Of a job that kept its checkpoints, now or once."""
    stored_state: str = ""
    """The state's name in the API."""
    groups_json: str = "[]"
    """For the script: titles with names of metrics, and points by name."""
    series_json: str = "[]"
