"""What a hub's, an account's or a model's AI is built on: the report.

Countries are always stated by a publisher's profile and shown with that source, or `not stated`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Fact, Link, Page, Pagination


class Measure(StrEnum):
    """What a share is a share of."""

    MODELS = "models"
    DOWNLOADS = "downloads"
    USE = "use"


class OriginView(msgspec.Struct, frozen=True):
    """A country as stated, where it is stated, and who states it; both None when not stated."""

    country: str | None = None
    source: Link | None = None


class RootRowView(msgspec.Struct, frozen=True):
    """One root. The numbers are of models that rest on it; `percent` is its share by the chosen measure.

    `verified`, `declared` and `contradicted` count those models by the weakest edge of their best path to the root.
    `tone` (0 to 4) is its colour in bar and trend; 4 is shared by all small ones.
    """

    name: str
    publisher: str
    models: int
    downloads: int
    use: int
    percent: float
    verified: int = 0
    declared: int = 0
    contradicted: int = 0
    href: str | None = None
    publisher_href: str | None = None
    origin: OriginView = OriginView()
    licence: str | None = None
    tone: int = 4


class SegmentView(msgspec.Struct, frozen=True):
    """A part of a stacked bar; percentages of one bar sum to at most 100."""

    label: str
    percent: float
    tone: int
    value: int
    href: str | None = None


class BarView(msgspec.Struct, frozen=True):
    """A stacked bar with its name, such as `By stated country`."""

    label: str
    segments: tuple[SegmentView, ...]


class TrendView(msgspec.Struct, frozen=True):
    """Models by root over time: `series` are (label, tone, one value per moment), stacked in that order."""

    moments: tuple[str, ...]
    series: tuple[tuple[str, int, tuple[int, ...]], ...]


class FoundationsPage(Page, frozen=True):
    """The report. Made by `web.foundations.report`; `scope` is None for the whole hub, else a link to the account."""

    template: ClassVar[str] = "foundations.html"

    headline: str
    lead: str
    measures: tuple[Choice, ...]
    measure: Measure = Measure.MODELS
    scope: Link | None = None
    figures: tuple[Fact, ...] = ()
    bars: tuple[BarView, ...] = ()
    roots: tuple[RootRowView, ...] = ()
    trend: TrendView | None = None
    pagination: Pagination | None = None
    csv_href: str = "/foundations.csv"
    json_href: str = "/foundations.json"
    pending: int = 0
