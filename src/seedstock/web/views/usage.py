"""What somebody, or everybody, asked of the models."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Fact, Notice, Page


class UsageDayView(msgspec.Struct, frozen=True):
    """Tokens of one day."""

    label: str
    """Such as `3 Mar`."""
    prompt: int = 0
    answer: int = 0


class UsageRowView(msgspec.Struct, frozen=True):
    """Sums by model, token or account."""

    name: str
    requests: int
    failures: int
    prompt: int
    cached: int
    answer: int
    href: str | None = None
    note: str = ""


class LimitView(msgspec.Struct, frozen=True):
    """A limit and what is left of it."""

    label: str
    limit: int
    left: int
    reset: str
    """When all of it is there again, in words."""


class TokenUsageView(msgspec.Struct, frozen=True):
    """An access token: its use, its limits, and what its owner may set."""

    id: str
    row: UsageRowView
    limits: tuple[LimitView, ...] = ()
    own: tuple[tuple[str, str, int | None], ...] = ()
    """Name of the field, label, value."""


class UsagePage(Page, frozen=True):
    """The use of some days."""

    template: ClassVar[str] = "usage.html"

    spans: tuple[Choice, ...]
    days: tuple[UsageDayView, ...]
    figures: tuple[Fact, ...]
    csv_href: str
    json_href: str
    whose: tuple[Choice, ...] = ()
    """For administrators: themselves or everybody."""
    account: str | None = None
    """Whose, if not the viewer's."""
    everyone: bool = False
    limits: tuple[LimitView, ...] = ()
    models: tuple[UsageRowView, ...] = ()
    tokens: tuple[TokenUsageView, ...] = ()
    others: tuple[UsageRowView, ...] = ()
    """Browser sessions and revoked tokens."""
    accounts: tuple[UsageRowView, ...] = ()
    may_limit: bool = False
    notice: Notice | None = None

    @property
    def used(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.models)
