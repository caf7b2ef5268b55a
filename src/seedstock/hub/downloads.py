"""Counts downloads and runs in memory and writes them together: one costs no row and no write of its own.

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
        self._runs: Counter[int] = Counter()
        self._flushed_at = clock()
        self._lock = Lock()

    def count(self, repo_id: int) -> None:
        """Count one download of a repo."""
        self._count(self._counts, repo_id)

    def count_run(self, repo_id: int) -> None:
        """Count one answer that a repo's model began to give."""
        self._count(self._runs, repo_id)

    def _count(self, counts: Counter[int], repo_id: int) -> None:
        with self._lock:
            counts[repo_id] += 1
            due = self._clock() - self._flushed_at >= FLUSH_MS
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what was counted."""
        with self._lock:
            counts, runs = dict(self._counts), dict(self._runs)
            self._counts.clear()
            self._runs.clear()
            self._flushed_at = self._clock()
        if counts or runs:
            with self._database.write() as connection:
                listing.add_downloads(connection, counts, self._clock() // DAY_MS)
                listing.add_runs(connection, runs)

    def rank(self, repo_id: int | None = None) -> None:
        """Recompute 30-day counts and trending scores, of one repo or of all."""
        with self._database.write() as connection:
            listing.rank(connection, self._clock() // DAY_MS, self._clock(), repo_id)
