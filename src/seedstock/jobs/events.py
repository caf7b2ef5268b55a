"""What a job says besides its progress: log lines and events, bounded before they are stored.

All of it is one stream in the order in which it was said. A job may say more than anybody can read: of each kind
only so much is kept between two heartbeats and in one attempt, and a line in the log says when something was left out.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import msgspec

from seedstock.core.clock import Clock
from seedstock.core.errors import Invalid

LOG, METRICS, SAMPLE, STAGE = "log", "metrics", "sample", "stage"
EVENT_KINDS = (METRICS, SAMPLE, STAGE)

MAX_TEXT = 4000
_MAX_KEYS = 64
_MAX_DATA_BYTES = 32 << 10
_MAX_DEPTH = 4
_AT_ONCE = {LOG: 5_000, METRICS: 1_000, SAMPLE: 100, STAGE: 1_000}
_IN_ALL = {LOG: 100_000, METRICS: 100_000, SAMPLE: 2_000, STAGE: 5_000}


class Said(msgspec.Struct, frozen=True):
    """One entry of a job's stream, before it is stored."""

    at: int
    kind: str
    text: str = ""
    """Of a log line."""
    data: dict[str, Any] | None = None
    """Of an event."""


def checked_event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event as it may be stored: text cut, numbers that JSON lacks become null.

    Raises Invalid for an unknown kind, and for metrics without a whole `step`. What is too large does not fail a
    job that has worked for hours: it is stored as its step and a word.
    """
    if kind not in EVENT_KINDS:
        raise Invalid(f"There are no events of kind {kind!r}", hint=f"one of {', '.join(EVENT_KINDS)}")
    step = data.get("step")
    if kind == METRICS and (not isinstance(step, int) or isinstance(step, bool)):
        raise Invalid(f"Metrics come with a whole step, not {step!r}")
    kept = _cleaned(data, _MAX_DEPTH)
    if len(msgspec.json.encode(kept)) > _MAX_DATA_BYTES:
        kept = {"left_out": "too large"} | ({"step": step} if isinstance(step, int) else {})
    return kept  # type: ignore[no-any-return]


def clean_text(text: str) -> str:
    """Text that both databases can hold: no NUL, no lone surrogates, not too long."""
    return text[:MAX_TEXT].replace("\0", "").encode(errors="replace").decode()


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else float(value) if abs(value) < 1 << 1000 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict) and depth > 0:
        items = list(value.items())[:_MAX_KEYS]
        return {clean_text(str(key)): _cleaned(item, depth - 1) for key, item in items}
    if isinstance(value, list | tuple) and depth > 0:
        return [_cleaned(item, depth - 1) for item in value[:_MAX_KEYS]]
    return clean_text(str(value))


class Stream:
    """What an attempt has said and not stored yet; safe to call from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[Said] = []
        self._at_once = dict.fromkeys(_AT_ONCE, 0)
        self._in_all = dict.fromkeys(_IN_ALL, 0)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def log(self, text: str) -> None:
        """Add a log line."""
        self._add(Said(self._clock(), LOG, text=clean_text(text)))

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Add an event. Raises Invalid."""
        self._add(Said(self._clock(), kind, data=checked_event(kind, data)))

    def _add(self, said: Said) -> None:
        kind = said.kind
        with self._lock:
            self._at_once[kind] += 1
            self._in_all[kind] += 1
            if self._in_all[kind] == _IN_ALL[kind] + 1:
                self._mark(said, "no more is kept in one run")
            elif self._at_once[kind] == _AT_ONCE[kind] + 1 and self._in_all[kind] <= _IN_ALL[kind]:
                self._mark(said, "they came faster than they are stored")
            elif self._at_once[kind] <= _AT_ONCE[kind] and self._in_all[kind] <= _IN_ALL[kind]:
                self._waiting.append(said)

    def _mark(self, said: Said, why: str) -> None:
        what = "lines" if said.kind == LOG else said.kind
        self._waiting.append(Said(said.at, LOG, text=f"… {what} left out: {why}"))

    def take(self) -> list[Said]:
        """All that waits, to be stored."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._at_once = dict.fromkeys(_AT_ONCE, 0)
            return taken

    def put_back(self, taken: list[Said]) -> None:
        """What could not be stored, before what was said since."""
        with self._lock:
            self._waiting[:0] = taken
            for said in taken:
                self._at_once[said.kind] += 1
