"""Slows down the guessing of passwords: failures are counted per name and address, in memory."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from seedstock.core.clock import Clock
from seedstock.core.errors import LimitExceeded

MAX_FAILURES = 8
WINDOW_MS = 10 * 60_000
_REMEMBERED = 10_000


class Attempts:
    """Recent failures of one process; a full memory forgets the oldest."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[int]] = OrderedDict()
        self._lock = Lock()

    def check(self, name: str, address: str) -> None:
        """Raise LimitExceeded if there were too many failures of late."""
        since = self._clock() - WINDOW_MS
        with self._lock:
            recent = [at for at in self._failures.get((name.lower(), address), ()) if at > since]
        if len(recent) >= MAX_FAILURES:
            raise LimitExceeded("Too many wrong passwords", hint="wait ten minutes and try again")

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        key = (name.lower(), address)
        with self._lock:
            self._failures[key] = [*self._failures.get(key, ()), self._clock()][-MAX_FAILURES:]
            self._failures.move_to_end(key)
            while len(self._failures) > _REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of somebody who knew the password in the end."""
        with self._lock:
            self._failures.pop((name.lower(), address), None)
