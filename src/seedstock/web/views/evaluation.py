"""What models scored: the panel of one model, and the leaderboard."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Fact, Link, Notice, Page, Pagination
from seedstock.web.views.replications import BandView
from seedstock.web.views.repos import RepoHeaderView


class SuiteView(msgspec.Struct, frozen=True):
    """A suite of the start form."""

    name: str
    title: str
    about: str
    items: int
    cost: str = ""
    """What it takes of a model that runs elsewhere."""


class ResultView(msgspec.Struct, frozen=True):
    """One result in the list; `href` shows it whole."""

    id: int
    href: str
    suite: str
    board_href: str
    commit: str
    file: str
    band: BandView
    n: int
    ran_by: str
    at: datetime
    selected: bool = False


class AnswerView(msgspec.Struct, frozen=True):
    """One question, the answer, and what each check said of it."""

    id: str
    right: bool
    group: str
    prompt: str
    answer: str
    target: str
    checks: tuple[tuple[str, bool], ...] = ()
    stopped: str = ""
    """Why the answer ended, where that is worth a word."""


class DetailView(msgspec.Struct, frozen=True):
    """A result whole."""

    id: int
    title: str
    band: BandView
    facts: tuple[Fact, ...]
    groups: tuple[BandView, ...] = ()
    log_href: str = ""
    """Empty where the viewer may not read the answers."""
    card_action: str = ""
    """Where the button posts to; empty for those who may not write."""
    answers: tuple[AnswerView, ...] = ()
    filters: tuple[Choice, ...] = ()
    pagination: Pagination | None = None


class EvaluationPanel(msgspec.Struct, frozen=True):
    """The form for those who may, the results, and one of them whole; `url` is where all of it is."""

    url: str
    suites: tuple[SuiteView, ...]
    fields: dict[str, str]
    results: tuple[ResultView, ...] = ()
    detail: DetailView | None = None
    may_start: bool = False
    may_write: bool = False
    closed: bool = False
    """Of a model that runs elsewhere."""
    notice: Notice | None = None


class EvaluationPage(Page, frozen=True):
    """What a model of the hub scored."""

    template: ClassVar[str] = "repo_evaluation.html"

    panel: EvaluationPanel
    header: RepoHeaderView


class RemoteEvaluationPage(Page, frozen=True):
    """What a model scored that runs elsewhere."""

    template: ClassVar[str] = "remote_evaluation.html"

    panel: EvaluationPanel
    model: str
    remote: str


class LineView(msgspec.Struct, frozen=True):
    """A line of a leaderboard; `difference` from the best, item by item, with its interval. A closed one has no commit."""

    place: int
    model: str
    href: str
    result_href: str
    commit: str
    band: BandView
    level_with_best: bool
    difference: str
    at: datetime
    closed: bool = False


class LeaderboardPage(Page, frozen=True):
    """Models ranked on one suite, all asked the same questions."""

    template: ClassVar[str] = "leaderboard.html"

    suites: tuple[Choice, ...]
    title: str
    about: str
    boards: tuple[Choice, ...] = ()
    facts: tuple[Fact, ...] = ()
    lines: tuple[LineView, ...] = ()
    json_href: str = ""
    elsewhere: tuple[Link, ...] = ()
    """Models that run elsewhere and that the viewer may evaluate."""
