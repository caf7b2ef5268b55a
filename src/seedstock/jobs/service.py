"""Jobs as the accounts that ask for them see them: who may look, stop and start again, and how many each may have.

A job belongs to whoever asked for it; admins see and stop all. To everybody else it does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.accounts.permissions import check_may_change
from seedstock.core.clock import Clock
from seedstock.core.errors import Conflict, Forbidden, Invalid, LimitExceeded, NotFound, Unauthenticated
from seedstock.core.viewer import Viewer
from seedstock.db import accounts, job_events
from seedstock.db import jobs as rows
from seedstock.db.engine import Database
from seedstock.db.job_events import EventRow
from seedstock.db.jobs import JobRow
from seedstock.jobs.events import LOG, METRICS, SAMPLE, STAGE

STATES = (rows.QUEUED, rows.RUNNING, rows.DONE, rows.DEAD, rows.CANCELLED)
OVER = frozenset({rows.DONE, rows.DEAD, rows.CANCELLED})
_STAGE_WORDS = 2_000  # the newest run of the largest recipe and some
_MAX_JOB_ID = (1 << 63) - 1  # what a database can look up


class Priority(StrEnum):
    """How urgent a job is beside others of its lane."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    """Admins only."""


_LEVELS = {Priority.LOW: -5, Priority.NORMAL: 0, Priority.HIGH: 5}


class Summary(msgspec.Struct, frozen=True):
    """The part of what a job said that a page shows; what came after `newest` may be missing."""

    newest: int
    log: list[EventRow]
    metrics: list[EventRow]
    """Thinned: evenly chosen from all, the last one among them."""
    samples: list[EventRow]
    stages: list[EventRow]


class Jobs:
    """Asks for jobs, shows them, stops them and starts them again."""

    def __init__(self, database: Database, clock: Clock, queued_per_account: int) -> None:
        self._database = database
        self._clock = clock
        self._queued_per_account = queued_per_account

    def enqueue(
        self,
        viewer: Viewer,
        kind: str,
        spec: dict[str, Any],
        *,
        priority: str = Priority.NORMAL,
        dedup_key: str | None = None,
        repo_id: int | None = None,
        max_attempts: int = 5,
    ) -> int:
        """Queue a job of the viewer's; its number. What it does and whether they may is the caller's to check.

        Raises Unauthenticated, Invalid (an unknown priority), Forbidden (a high one) and LimitExceeded.
        """
        if viewer.account_id is None:
            raise Unauthenticated("Sign in or send a token to start a job")
        level = _level(viewer, priority)
        with self._database.write() as connection:
            number = rows.enqueue(
                connection,
                kind,
                spec,
                at=self._clock(),
                max_attempts=max_attempts,
                priority=level,
                dedup_key=dedup_key,
                repo_id=repo_id,
                account_id=viewer.account_id,
            )
            self._check_share(connection, viewer.account_id)
        return number

    def _check_share(self, connection: sa.Connection, account_id: int) -> None:
        """Raise LimitExceeded, and undo what was queued, if the account now has too many waiting."""
        if rows.count_queued(connection, account_id) > self._queued_per_account:
            raise LimitExceeded(
                f"{self._queued_per_account} of your jobs are waiting already, which is the most",
                hint="wait until one has begun, or cancel one: `seedstock jobs` lists them",
            )

    def get(self, viewer: Viewer, job_id: int) -> JobRow:
        """A job that the viewer may see. Raises NotFound."""
        if not viewer.anonymous and 0 < job_id <= _MAX_JOB_ID:
            with self._database.read() as connection:
                job = rows.find_job(connection, job_id)
            if job is not None and (viewer.is_admin or job.account_id == viewer.account_id):
                return job
        raise NotFound(f"There is no job {str(job_id)[:20]}")

    def page(
        self,
        viewer: Viewer,
        *,
        everyone: bool = False,
        states: Sequence[str] = (),
        kinds: Sequence[str] = (),
        limit: int = 50,
        before: int | None = None,
    ) -> list[JobRow]:
        """The viewer's jobs, or those of `everyone` for admins; newest first. Raises as `counts`, and Invalid."""
        unknown = sorted(set(states) - set(STATES))
        if unknown:
            raise Invalid(
                f"There is no state {unknown[0][:20]!r} of jobs", hint=f"one of {', '.join(STATES)}"
            )
        with self._database.read() as connection:
            return rows.list_jobs(
                connection,
                states,
                limit,
                kinds=kinds,
                account_id=_whose(viewer, everyone),
                before=before,
            )

    def counts(self, viewer: Viewer, *, everyone: bool = False) -> dict[str, int]:
        """How many jobs are in each state. Raises Unauthenticated, and Forbidden for everyone's."""
        with self._database.read() as connection:
            return rows.count_by_state(connection, _whose(viewer, everyone))

    def owners(self, jobs: Collection[JobRow]) -> dict[int, str]:
        """Names of the accounts that asked for jobs, by account."""
        wanted = {job.account_id for job in jobs if job.account_id is not None}
        with self._database.read() as connection:
            return accounts.names_of(connection, wanted)

    def cancel(self, viewer: Viewer, job_id: int) -> None:
        """Stop a job: at once if it is queued, at its next heartbeat if it runs. Raises NotFound, Forbidden, Conflict."""
        job = self.get(viewer, job_id)
        check_may_change(viewer)
        with self._database.write() as connection:
            if not rows.request_cancel(connection, job.id, self._clock()):
                raise Conflict(f"Job {job_id} is over: {job.state}")

    def retry(self, viewer: Viewer, job_id: int) -> None:
        """Queue a dead or cancelled job anew. Raises NotFound, Forbidden, Conflict, LimitExceeded."""
        job = self.get(viewer, job_id)
        check_may_change(viewer)
        with self._database.write() as connection:
            if not rows.retry(connection, job.id, self._clock()):
                raise Conflict(f"Job {job_id} neither failed nor was cancelled: it is {job.state}")
            if job.account_id is not None:
                self._check_share(connection, job.account_id)

    def said(
        self,
        viewer: Viewer,
        job_id: int,
        after: int = 0,
        limit: int = 1000,
        kinds: Sequence[str] = (),
        until: int | None = None,
    ) -> list[EventRow]:
        """What a job said after the entry of one id and up to that of another, oldest first. Raises NotFound."""
        job = self.get(viewer, job_id)
        with self._database.read() as connection:
            return job_events.read(connection, job.id, after, limit, kinds, until)

    def follow(self, job_id: int, after: int, limit: int) -> tuple[JobRow | None, list[EventRow]]:
        """How a job stands and what it said next, for a caller who was allowed to see it by `get`.

        The state is read first and what a job says last is stored with its end: nothing follows the entries of a
        job that is over, if they are fewer than the limit.
        """
        with self._database.read() as connection:
            job = rows.find_job(connection, job_id)
            return job, job_events.read(connection, job_id, after, limit)

    def summary(self, job: JobRow, *, lines: int, points: int, samples: int) -> Summary:
        """What a page shows of a job at first: the end of its log, thinned metrics and the last samples."""
        with self._database.read() as connection:
            newest = job_events.newest(connection, job.id)
            return Summary(
                newest,
                job_events.read_last(connection, job.id, LOG, lines),
                job_events.read_thinned(connection, job.id, METRICS, points),
                job_events.read_last(connection, job.id, SAMPLE, samples),
                job_events.read_last(connection, job.id, STAGE, _STAGE_WORDS),
            )


def _whose(viewer: Viewer, everyone: bool) -> int | None:
    if viewer.anonymous:
        raise Unauthenticated("Sign in or send a token to see your jobs")
    if not everyone:
        return viewer.account_id
    if not viewer.is_admin:
        raise Forbidden("Only admins see the jobs of others")
    return None


def _level(viewer: Viewer, priority: str) -> int:
    if priority not in _LEVELS:
        raise Invalid(f"There is no priority {priority[:20]!r}", hint=f"one of {', '.join(Priority)}")
    if priority == Priority.HIGH and not viewer.is_admin:
        raise Forbidden(
            "Only admins give jobs a high priority", hint="leave it at normal, or lower it to low"
        )
    return _LEVELS[Priority(priority)]


def priority_of(job: JobRow) -> str:
    """The word for a job's priority."""
    return Priority.LOW if job.priority < 0 else Priority.HIGH if job.priority > 0 else Priority.NORMAL
