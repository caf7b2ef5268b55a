"""The page that makes a variant of a model."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from seedstock.web.views.common import Fact, Notice, Page
from seedstock.web.views.repos import RepoHeaderView


class MethodView(msgspec.Struct, frozen=True):
    """A way to make a variant, in a few words."""

    name: str
    title: str
    text: str
    glyph: str


class SegmentView(msgspec.Struct, frozen=True):
    """Part of a formatted row; `learned` says that the loss counts it."""

    text: str
    learned: bool


class SampleView(msgspec.Struct, frozen=True):
    """A row as the model will see it."""

    segments: tuple[SegmentView, ...]
    tokens: int


class BinView(msgspec.Struct, frozen=True):
    """Rows with a number of tokens in a range; `percent` of the fullest bin."""

    label: str
    rows: int
    percent: float


class VariantView(msgspec.Struct, frozen=True):
    """What would be made, before anything is read but headers, cards and some rows."""

    repo: str
    facts: tuple[Fact, ...]
    settings: tuple[Fact, ...]
    warnings: tuple[str, ...]
    fit: Notice | None = None
    fit_lines: tuple[str, ...] = ()
    samples: tuple[SampleView, ...] = ()
    lengths: tuple[BinView, ...] = ()
    lengths_text: str = ""
    spec_yaml: str = ""


class AdaptPage(Page, frozen=True):
    """Choose a method, data and a few settings; see what it makes; start."""

    template: ClassVar[str] = "repo_adapt.html"

    header: RepoHeaderView
    methods: tuple[MethodView, ...]
    rewards: tuple[str, ...]
    merges: tuple[str, ...]
    datasets: tuple[str, ...]
    fields: dict[str, str]
    """What the form holds, by field."""
    proposal: VariantView | None = None
    notice: Notice | None = None
