"""The queue as other services and the command line see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from seedstock.core.clock import Clock
from seedstock.core.errors import Conflict, NotFound
from seedstock.db import job_events as events
from seedstock.db import jobs as rows
from seedstock.db.engine import Database
from seedstock.db.job_events import EventRow
from seedstock.db.jobs import JobRow
from seedstock.jobs.events import LOG

_POLL_S = 0.05


class Queue:
    """Enqueue, look, cancel, retry."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def enqueue(self, kind: str, spec: dict[str, Any], **options: Any) -> int:
        """Add a job in a transaction of its own; options as for `enqueue_on`."""
        with self._database.write() as connection:
            return self.enqueue_on(connection, kind, spec, **options)

    def enqueue_on(
        self,
        connection: sa.Connection,
        kind: str,
        spec: dict[str, Any],
        *,
        dedup_key: str | None = None,
        repo_id: int | None = None,
        account_id: int | None = None,
        priority: int = 0,
        max_attempts: int = 5,
    ) -> int:
        """Add a job in the caller's transaction, so that it exists exactly if what caused it does."""
        return rows.enqueue(
            connection,
            kind,
            spec,
            at=self._clock(),
            max_attempts=max_attempts,
            priority=priority,
            dedup_key=dedup_key,
            repo_id=repo_id,
            account_id=account_id,
        )

    def get(self, job_id: int) -> JobRow:
        """The job of that id. Raises NotFound."""
        with self._database.read() as connection:
            job = rows.find_job(connection, job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}")
        return job

    def page(self, states: Sequence[str] = (), limit: int = 100, offset: int = 0) -> list[JobRow]:
        """Jobs, newest first."""
        with self._database.read() as connection:
            return rows.list_jobs(connection, states, limit, offset)

    def counts(self) -> Mapping[str, int]:
        """How many jobs are in each state."""
        with self._database.read() as connection:
            return rows.count_by_state(connection)

    def waiting(self) -> list[tuple[str, str, int]]:
        """How many jobs of each kind are queued and running: kind, state, number."""
        with self._database.read() as connection:
            return rows.count_unfinished(connection)

    def log(self, job_id: int, after: int = 0, limit: int = 1000) -> list[tuple[int, int, str]]:
        """Log lines after a line's id: id, time, text."""
        with self._database.read() as connection:
            found = events.read(connection, job_id, after, limit, [LOG])
        return [(row.id, row.at, row.text) for row in found]

    def events(self, job_id: int, after: int = 0, limit: int = 1000) -> list[EventRow]:
        """What a job said after an entry's id, log lines and events as they came."""
        with self._database.read() as connection:
            return events.read(connection, job_id, after, limit)

    def cancel(self, job_id: int) -> None:
        """Cancel a job, at once if it is queued, at its next heartbeat if it runs. Raises Conflict."""
        with self._database.write() as connection:
            if not rows.request_cancel(connection, job_id, self._clock()):
                raise Conflict(f"Job {job_id} is neither queued nor running")

    def retry(self, job_id: int) -> None:
        """Queue a dead or cancelled job anew. Raises Conflict."""
        with self._database.write() as connection:
            if not rows.retry(connection, job_id, self._clock()):
                raise Conflict(f"Job {job_id} is neither dead nor cancelled")

    def wait(
        self,
        on_change: Callable[[int], None],
        on_stuck: Callable[[int], None],
        sleep: Callable[[float], None] = time.sleep,
        *,
        patience_s: float = 10.0,
    ) -> None:
        """Return when no job is queued or running; `on_change` hears how many are left whenever that changes.

        `on_stuck` hears it once if jobs have been due for `patience_s` and no worker runs any.
        Housekeeping that is not due yet does not count, for it is queued only when it is.
        """
        left, stuck, asked_s = -1, False, time.monotonic()
        while True:
            counts = self.counts()
            now = counts.get(rows.QUEUED, 0) + counts.get(rows.RUNNING, 0)
            if now != left:
                left = now
                on_change(left)
            if left == 0:
                return
            if not stuck and time.monotonic() - asked_s >= patience_s:
                asked_s = time.monotonic()
                stuck = self._is_stuck(patience_s)
                if stuck:
                    on_stuck(left)
            sleep(_POLL_S)

    def _is_stuck(self, patience_s: float) -> bool:
        with self._database.read() as connection:
            at = self._clock()
            return rows.is_stuck(connection, at, at - int(patience_s * 1000))
