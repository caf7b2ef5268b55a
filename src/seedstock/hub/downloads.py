"""Counts downloads in memory and writes them together: a download costs no row and no write of its own.

What was counted since the last flush is lost in a crash; counts are statistics, not content.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

from seedstock.core.clock import DAY_MS, Clock
from seedstock.db import listing
from seedstock.db.engine import Database

FLUSH_MS = 5_000


class DownloadCounter:
    """Counts of one process, flushed by whoever counts after the interval and at shutdown."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counts: Counter[int] = Counter()
        self._flushed_at = clock()
        self._lock = Lock()

    def count(self, repo_id: int) -> None:
        """Count one download of a repo."""
        with self._lock:
            self._counts[repo_id] += 1
            due = self._clock() - self._flushed_at >= FLUSH_MS
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what was counted."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._flushed_at = self._clock()
        if counts:
            with self._database.write() as connection:
                listing.add_downloads(connection, dict(counts), self._clock() // DAY_MS)

    def rank(self, repo_id: int | None = None) -> None:
        """Recompute 30-day counts and trending scores, of one repo or of all."""
        with self._database.write() as connection:
            listing.rank(connection, self._clock() // DAY_MS, self._clock(), repo_id)
