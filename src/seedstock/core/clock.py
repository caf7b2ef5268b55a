"""Time as the hub counts it: UTC milliseconds since 1970. Services take a `Clock` so that tests own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]

DAY_MS = 86_400_000


def now_ms() -> int:
    """The present, from the system clock."""
    return time.time_ns() // 1_000_000


def iso(at_ms: int) -> str:
    """The API's date form: `2024-05-01T12:00:00.000Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
