"""What every page shares: the site, the person looking, pagination, notices."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec


class SiteView(msgspec.Struct, frozen=True):
    """The hub itself; `base_url` is what clients put into HF_ENDPOINT, without a trailing slash."""

    base_url: str
    version: str
    title: str = "Seedstock"


class ViewerView(msgspec.Struct, frozen=True):
    """Who is looking: `name` is None for anonymous visitors; `csrf` is sent back by every form and script."""

    csrf: str
    name: str | None = None
    is_admin: bool = False


class Page(msgspec.Struct, frozen=True):
    """Base of all pages; `template` is the file that renders it, with the struct as `page`."""

    template: ClassVar[str]


class Link(msgspec.Struct, frozen=True):
    """A label and where it leads."""

    label: str
    href: str


class Choice(msgspec.Struct, frozen=True):
    """One option of a set that is shown as links; following `href` selects (or clears) it."""

    label: str
    href: str
    selected: bool = False
    count: int | None = None


class Pagination(msgspec.Struct, frozen=True):
    """Where this slice lies; `total` is None when counting would cost too much."""

    first: int
    last: int
    total: int | None = None
    previous_href: str | None = None
    next_href: str | None = None


class NoticeKind(StrEnum):
    """How a notice is coloured and announced."""

    INFO = "info"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Notice(msgspec.Struct, frozen=True):
    """One sentence about what just happened, shown above the page's content."""

    kind: NoticeKind
    text: str


class Fact(msgspec.Struct, frozen=True):
    """A labelled value of a metadata table."""

    label: str
    value: str


class Snippet(msgspec.Struct, frozen=True):
    """A piece of code to copy."""

    label: str
    code: str
