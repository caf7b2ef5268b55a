"""What spot checks of a run showed."""

from __future__ import annotations

from datetime import datetime

import msgspec


class SpotCheckView(msgspec.Struct, frozen=True):
    """One spot check; `tone` is good, bad or none while it has found nothing."""

    outcome: str
    tone: str
    steps: str
    reason: str
    ran_by: str
    at: datetime
    record_href: str = ""
    note: str = ""
    """What the reader has to know to judge it."""


class CheckedRunView(msgspec.Struct, frozen=True):
    """All checks of one run, newest first."""

    summary: str
    tone: str
    """`bad` if one did not agree."""
    commit: str
    """Where the run published, shortened."""
    checks: tuple[SpotCheckView, ...]


class KeptView(msgspec.Struct, frozen=True):
    """What is kept of a job's run; `text` is empty where nothing is any more."""

    text: str
    runs: tuple[CheckedRunView, ...]
