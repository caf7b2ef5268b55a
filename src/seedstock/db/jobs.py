"""Queries of the job queue.

A running job belongs to its `lease_owner`, a text unique to one attempt. Every statement of an attempt names
it, so that an attempt whose lease ran out can no longer change a job that somebody else has taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from seedstock.db.schema import job_logs, jobs

QUEUED, RUNNING, DONE, DEAD, CANCELLED = "queued", "running", "done", "dead", "cancelled"
_MAX_ERROR = 4000


class JobRow(msgspec.Struct, frozen=True):
    """A job as stored."""

    id: int
    kind: str
    spec: dict[str, Any]
    state: str
    priority: int
    repo_id: int | None
    account_id: int | None
    attempts: int
    max_attempts: int
    run_after: int
    lease_owner: str | None
    lease_expires_at: int | None
    cancel_requested: bool
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None


_COLUMNS = [jobs.c[name] for name in JobRow.__struct_fields__]


def _job(row: Sequence[Any]) -> JobRow:
    return JobRow(*row)


def enqueue(
    connection: sa.Connection,
    kind: str,
    spec: dict[str, Any],
    *,
    at: int,
    max_attempts: int,
    priority: int = 0,
    dedup_key: str | None = None,
    repo_id: int | None = None,
    account_id: int | None = None,
) -> int:
    """Add a job inside the caller's transaction; the job already queued under `dedup_key`, if there is one."""
    values = {
        "kind": kind,
        "spec": spec,
        "state": QUEUED,
        "priority": priority,
        "dedup_key": dedup_key,
        "repo_id": repo_id,
        "account_id": account_id,
        "attempts": 0,
        "max_attempts": max_attempts,
        "run_after": at,
        "cancel_requested": False,
        "created_at": at,
    }
    # Not a failed insert: on PostgreSQL that would end the caller's transaction.
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(jobs).values(**values).on_conflict_do_nothing().returning(jobs.c.id)
    new_id = connection.execute(statement).scalar()
    if new_id is None:
        query = sa.select(jobs.c.id).where(jobs.c.dedup_key == dedup_key, jobs.c.state == QUEUED)
        new_id = connection.execute(query).scalar()
    return int(new_id or 0)


def claim(connection: sa.Connection, owner: str, at: int, lease_ms: int) -> JobRow | None:
    """Take the most urgent job that is due, or None. One statement on both databases."""
    due = (
        sa.select(jobs.c.id)
        .where(jobs.c.state == QUEUED, jobs.c.run_after <= at)
        .order_by(jobs.c.priority.desc(), jobs.c.run_after, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == due, jobs.c.state == QUEUED)
        .values(
            state=RUNNING,
            dedup_key=None,
            lease_owner=owner,
            lease_expires_at=at + lease_ms,
            attempts=jobs.c.attempts + 1,
            started_at=at,
            error=None,
        )
        .returning(*_COLUMNS)
    ).first()
    return _job(row) if row else None


def has_due(connection: sa.Connection, at: int) -> bool:
    """Whether a job is due; cheaper than a claim, and takes no write lock."""
    query = sa.select(jobs.c.id).where(jobs.c.state == QUEUED, jobs.c.run_after <= at).limit(1)
    return connection.execute(query).first() is not None


def heartbeat(connection: sa.Connection, job_id: int, owner: str, until: int) -> bool | None:
    """Extend a lease: whether the job was asked to stop; None if it is no longer this owner's."""
    row = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.lease_owner == owner, jobs.c.state == RUNNING)
        .values(lease_expires_at=until)
        .returning(jobs.c.cancel_requested)
    ).first()
    return None if row is None else bool(row[0])


def set_progress(connection: sa.Connection, job_id: int, owner: str, progress: dict[str, Any]) -> None:
    """Record how far an attempt has come."""
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.lease_owner == owner, jobs.c.state == RUNNING)
        .values(progress=progress)
    )


def finish(
    connection: sa.Connection,
    job_id: int,
    owner: str,
    state: str,
    at: int,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> bool:
    """End a job; False if it is no longer this owner's."""
    return _release(
        connection, job_id, owner, state=state, finished_at=at, result=result, error=_short(error)
    )


def give_back(
    connection: sa.Connection, job_id: int, owner: str, run_after: int, *, error: str | None, counts: bool
) -> bool:
    """Queue a job again; an attempt that does not count was interrupted, not failed."""
    values: dict[str, Any] = {"state": QUEUED, "run_after": run_after, "error": _short(error)}
    if not counts:
        values["attempts"] = jobs.c.attempts - 1
    return _release(connection, job_id, owner, **values)


def _release(connection: sa.Connection, job_id: int, owner: str, **values: Any) -> bool:
    changed = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.lease_owner == owner, jobs.c.state == RUNNING)
        .values(lease_owner=None, lease_expires_at=None, **values)
    )
    return changed.rowcount == 1


def _short(error: str | None) -> str | None:
    return error[:_MAX_ERROR] if error else None


def expire(connection: sa.Connection, at: int) -> int:
    """Queue the jobs whose worker has gone silent, or bury those that have no attempt left."""
    silent = sa.and_(jobs.c.state == RUNNING, jobs.c.lease_expires_at < at)
    values = {"lease_owner": None, "lease_expires_at": None, "error": "The worker died or lost its lease"}
    buried = connection.execute(
        sa.update(jobs)
        .where(silent, jobs.c.attempts >= jobs.c.max_attempts)
        .values(state=DEAD, finished_at=at, **values)
    )
    queued = connection.execute(sa.update(jobs).where(silent).values(state=QUEUED, run_after=at, **values))
    return buried.rowcount + queued.rowcount


def request_cancel(connection: sa.Connection, job_id: int, at: int) -> bool:
    """Cancel a queued job, or ask a running one to stop; False if it is over or unknown."""
    cancelled = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == QUEUED)
        .values(state=CANCELLED, finished_at=at, dedup_key=None)
    )
    asked = connection.execute(
        sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == RUNNING).values(cancel_requested=True)
    )
    return cancelled.rowcount + asked.rowcount == 1


def retry(connection: sa.Connection, job_id: int, at: int) -> bool:
    """Queue a dead or cancelled job anew; False if it is neither."""
    changed = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_([DEAD, CANCELLED]))
        .values(state=QUEUED, attempts=0, run_after=at, cancel_requested=False, error=None, finished_at=None)
    )
    return changed.rowcount == 1


def find_job(connection: sa.Connection, job_id: int) -> JobRow | None:
    """The job of that id, or None."""
    row = connection.execute(sa.select(*_COLUMNS).where(jobs.c.id == job_id)).first()
    return _job(row) if row else None


def list_jobs(
    connection: sa.Connection, states: Sequence[str] = (), limit: int = 100, offset: int = 0
) -> list[JobRow]:
    """Jobs, newest first."""
    statement = sa.select(*_COLUMNS).order_by(jobs.c.id.desc()).limit(limit).offset(offset)
    if states:
        statement = statement.where(jobs.c.state.in_(states))
    return [_job(row) for row in connection.execute(statement)]


def count_by_state(connection: sa.Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    rows = connection.execute(sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state))
    return {row[0]: row[1] for row in rows}


def newest_of_kind(connection: sa.Connection, kind: str) -> int | None:
    """When the newest job of a kind was made."""
    return connection.execute(sa.select(sa.func.max(jobs.c.created_at)).where(jobs.c.kind == kind)).scalar()


def prune(connection: sa.Connection, before: int) -> int:
    """Forget jobs that ended well before then."""
    return connection.execute(
        sa.delete(jobs).where(jobs.c.state.in_([DONE, CANCELLED]), jobs.c.finished_at < before)
    ).rowcount


def add_log(connection: sa.Connection, job_id: int, at: int, text: str) -> None:
    """Append to a job's log."""
    connection.execute(sa.insert(job_logs).values(job_id=job_id, at=at, text=text[:_MAX_ERROR]))


def read_log(connection: sa.Connection, job_id: int, after: int, limit: int) -> list[tuple[int, int, str]]:
    """Log lines after a line's id: id, time, text."""
    rows = connection.execute(
        sa.select(job_logs.c.id, job_logs.c.at, job_logs.c.text)
        .where(job_logs.c.job_id == job_id, job_logs.c.id > after)
        .order_by(job_logs.c.id)
        .limit(limit)
    )
    return [(row.id, row.at, row.text) for row in rows]
