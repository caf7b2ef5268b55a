"""What an attempt may do to the job that it runs, and what becomes of the job of one that has gone silent.

A running job belongs to its `lease_owner`, a text unique to one attempt. Every statement of an attempt names
it, so that an attempt whose lease ran out can no longer change a job that somebody else has taken over.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from seedstock.core.errors import StoreUnreachable
from seedstock.db.jobs import CANCELLED, DEAD, QUEUED, RUNNING
from seedstock.db.schema import jobs

HICCUPS = (StoreUnreachable, sa.exc.OperationalError, sa.exc.InterfaceError)
"""What a database that restarts, fails over or is busy raises: try again, nothing is wrong with the job."""
_MAX_ERROR = 4000


def heartbeat(connection: sa.Connection, job_id: int, owner: str, until: int) -> bool | None:
    """Extend a lease: whether the job was asked to stop; None if it is no longer this owner's."""
    row = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.lease_owner == owner, jobs.c.state == RUNNING)
        .values(lease_expires_at=until)
        .returning(jobs.c.cancel_requested)
    ).first()
    return None if row is None else bool(row[0])


def look(connection: sa.Connection, job_id: int, owner: str) -> bool | None:
    """What a heartbeat would answer, without extending the lease."""
    return connection.execute(
        sa.select(jobs.c.cancel_requested).where(
            jobs.c.id == job_id, jobs.c.lease_owner == owner, jobs.c.state == RUNNING
        )
    ).scalar()


def hold(connection: sa.Connection, job_id: int, owner: str) -> bool:
    """Whether the job is this owner's; if so, nobody else gets it before the transaction ends."""
    mine = sa.select(jobs.c.id).where(
        jobs.c.id == job_id, jobs.c.lease_owner == owner, jobs.c.state == RUNNING
    )
    return connection.execute(mine.with_for_update()).scalar() is not None


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
    """Queue the jobs whose worker has gone silent; end those that were cancelled or have no attempt left."""
    # Locked first, without waiting: two workers that expire the same jobs must not meet in a deadlock.
    query = sa.select(jobs.c.id).where(jobs.c.state == RUNNING, jobs.c.lease_expires_at < at)
    silent = connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
    if not silent:
        return 0
    over = sa.or_(jobs.c.cancel_requested, jobs.c.attempts >= jobs.c.max_attempts)
    state = sa.case(
        (jobs.c.cancel_requested, CANCELLED), (jobs.c.attempts >= jobs.c.max_attempts, DEAD), else_=QUEUED
    )
    return connection.execute(
        sa.update(jobs)
        .where(jobs.c.id.in_(silent))
        .values(
            state=state,
            finished_at=sa.case((over, at), else_=None),
            run_after=at,
            lease_owner=None,
            lease_expires_at=None,
            error="The worker died or lost its lease",
        )
    ).rowcount
