"""Leaves an upstream alone that is down, so that requests fail at once instead of waiting for it.

After three failures in a row, 5, 10, 20, 40, then 60 s pass before one request may try again; the others go on
failing until that one has had an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from seedstock.core.errors import HubError, RemoteDown
from seedstock.run.remote.upstream import Upstream

THRESHOLD = 3
_FIRST_S = 5.0
_MOST_S = 60.0
_MAX_REMEMBERED = 1000


@dataclass
class _Standing:
    revision: int
    failures: int = 0
    last: str = ""
    retry_s: float = 0.0


class Breakers:
    """Failures by remote, on a monotonic clock; a remote that was changed starts afresh."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._standings: dict[str, _Standing] = {}

    def check(self, upstream: Upstream) -> None:
        """Raise RemoteDown while the upstream is left alone; else the caller may try, and says how it went."""
        standing = self._standings.get(upstream.name)
        if standing is None or standing.revision != upstream.revision or standing.failures < THRESHOLD:
            return
        now_s = self._clock_s()
        if now_s < standing.retry_s:
            wait_s = math.ceil(standing.retry_s - now_s)
            raise RemoteDown(
                f"The remote {upstream.name!r} failed {standing.failures} times in a row; next try in {wait_s} s."
                f" Last: {standing.last}",
                retry_after_s=wait_s,
            )
        standing.retry_s = now_s + _delay_s(standing.failures)

    def failed(self, upstream: Upstream, error: HubError) -> None:
        """Note that it did not answer, or blamed itself."""
        standing = self._standings.pop(upstream.name, None)
        if standing is None or standing.revision != upstream.revision:
            standing = _Standing(upstream.revision)
        standing.failures += 1
        standing.last = error.message
        standing.retry_s = self._clock_s() + _delay_s(standing.failures)
        self._standings[upstream.name] = standing
        if len(self._standings) > _MAX_REMEMBERED:
            del self._standings[next(iter(self._standings))]

    def answered(self, upstream: Upstream) -> None:
        """Note that it is well."""
        self._standings.pop(upstream.name, None)


def _delay_s(failures: int) -> float:
    return float(min(_MOST_S, _FIRST_S * 2.0 ** min(max(0, failures - THRESHOLD), 10)))
