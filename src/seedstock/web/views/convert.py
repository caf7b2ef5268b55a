"""The page that makes a quantised copy of a model."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from seedstock.web.views.common import Fact, Notice, Page
from seedstock.web.views.repos import RepoHeaderView


class TargetView(msgspec.Struct, frozen=True):
    """A type that a copy can have, and in a few words whom it is for."""

    name: str
    text: str


class ConversionView(msgspec.Struct, frozen=True):
    """What would be made, read from headers alone."""

    repo: str
    path: str
    size_bytes: int
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


class ConvertPage(Page, frozen=True):
    """Choose a type and a name, see the size, start."""

    template: ClassVar[str] = "repo_convert.html"

    header: RepoHeaderView
    targets: tuple[TargetView, ...]
    target: str
    repo: str
    private: bool = False
    proposal: ConversionView | None = None
    notice: Notice | None = None
