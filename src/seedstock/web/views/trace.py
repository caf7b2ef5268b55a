"""Search by weights: a page with a form, and the related models that were found."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Page
from seedstock.web.views.evidence import Evidence


class TraceHitView(msgspec.Struct, frozen=True):
    """One related model; `distance` is worded by the caller (`3 of 128 bits`)."""

    name: str
    href: str
    commit: str
    evidence: Evidence
    verdict: str
    kind: str | None = None
    distance: str | None = None
    reason: str = ""


class TracePage(Page, frozen=True):
    """Search by weights. A form post without a script answers with `subject` and `hits`; both empty before.

    The script posts to `/api/trace` and fills the same table itself.
    """

    template: ClassVar[str] = "trace.html"

    limit_bytes: int
    subject: str | None = None
    hits: tuple[TraceHitView, ...] = ()
    error: str | None = None
    searched: int | None = None
    sign_in_href: str | None = None
    models: tuple[Choice, ...] = ()
