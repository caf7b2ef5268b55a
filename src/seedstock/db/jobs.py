"""Jobs of the queue: added, found, listed, counted, cancelled and forgotten."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from seedstock.db.schema import accounts, jobs

QUEUED, RUNNING, DONE, DEAD, CANCELLED = "queued", "running", "done", "dead", "cancelled"
_SCHEDULE_LOCK = 0x5EED10B5
_ASK_AGAIN_MS = 60_000
_LOOKED_AT = 100


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


COLUMNS = [jobs.c[name] for name in JobRow.__struct_fields__]


def row_of(row: Sequence[Any]) -> JobRow:
    """A row of COLUMNS as what it is."""
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
    # The twin is locked until the caller commits: claimed any earlier, it could run without seeing what
    # the caller is about to commit. If it was claimed before we got the lock, the insert succeeds next time.
    twin = (
        sa.select(jobs.c.id)
        .where(jobs.c.dedup_key == dedup_key, jobs.c.state == QUEUED)
        .with_for_update(read=True)
    )
    while True:
        for query in (statement, twin):
            job_id = connection.execute(query).scalar()
            if job_id is not None:
                return int(job_id)


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
    row = connection.execute(sa.select(*COLUMNS).where(jobs.c.id == job_id)).first()
    return row_of(row) if row else None


def find_newest(connection: sa.Connection, repo_id: int, kind: str, spec: dict[str, Any]) -> JobRow | None:
    """The newest job of a kind and repo with that spec, whatever became of it."""
    found = list_about(connection, repo_id, kind, _LOOKED_AT)
    return next((job for job in found if job.spec == spec), None)


def list_about(connection: sa.Connection, repo_id: int, kind: str, limit: int) -> list[JobRow]:
    """The newest jobs of a kind about a repo, newest first."""
    rows = connection.execute(
        sa.select(*COLUMNS)
        .where(jobs.c.repo_id == repo_id, jobs.c.kind == kind)
        .order_by(jobs.c.id.desc())
        .limit(limit)
    )
    return [row_of(row) for row in rows]


def known(connection: sa.Connection, job_ids: Collection[int]) -> set[int]:
    """Those that are ids of jobs."""
    return set(connection.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids))).scalars())


def list_jobs(
    connection: sa.Connection,
    states: Sequence[str] = (),
    limit: int = 100,
    offset: int = 0,
    *,
    kinds: Sequence[str] = (),
    account_id: int | None = None,
    before: int | None = None,
) -> list[JobRow]:
    """Jobs, newest first; of those states, kinds and account, and older than the job `before`."""
    statement = sa.select(*COLUMNS).order_by(jobs.c.id.desc()).limit(limit).offset(offset)
    if states:
        statement = statement.where(jobs.c.state.in_(states))
    if kinds:
        statement = statement.where(jobs.c.kind.in_(kinds))
    if account_id is not None:
        statement = statement.where(jobs.c.account_id == account_id)
    if before is not None:
        statement = statement.where(jobs.c.id < before)
    return [row_of(row) for row in connection.execute(statement)]


def count_by_state(connection: sa.Connection, account_id: int | None = None) -> dict[str, int]:
    """How many jobs, of an account if one is given, are in each state."""
    statement = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
    if account_id is not None:
        statement = statement.where(jobs.c.account_id == account_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


def count_unfinished(connection: sa.Connection) -> list[tuple[str, str, int]]:
    """Kind, state and number of the jobs that are queued or running."""
    statement = (
        sa.select(jobs.c.kind, jobs.c.state, sa.func.count())
        .where(jobs.c.state.in_([QUEUED, RUNNING]))
        .group_by(jobs.c.kind, jobs.c.state)
        .order_by(jobs.c.kind, jobs.c.state)
    )
    return [(kind, state, number) for kind, state, number in connection.execute(statement)]


def count_queued(connection: sa.Connection, account_id: int) -> int:
    """How many jobs of an account are queued; nobody else adds one to them before the transaction ends."""
    mine = sa.select(accounts.c.id).where(accounts.c.id == account_id)
    connection.execute(mine.with_for_update(key_share=True))
    statement = sa.select(sa.func.count()).where(jobs.c.account_id == account_id, jobs.c.state == QUEUED)
    return connection.execute(statement).scalar() or 0


def is_stuck(connection: sa.Connection, at: int, due_since: int) -> bool:
    """Whether no worker runs a job although one has been due since then."""
    overdue = sa.select(jobs.c.id).where(jobs.c.state == QUEUED, jobs.c.run_after <= due_since)
    lost = sa.select(jobs.c.id).where(jobs.c.state == RUNNING, jobs.c.lease_expires_at <= due_since)
    alive = sa.select(jobs.c.id).where(jobs.c.state == RUNNING, jobs.c.lease_expires_at > at)
    wanted = sa.select(sa.or_(overdue.exists(), lost.exists()) & ~alive.exists())
    return bool(connection.execute(wanted).scalar())


def enqueue_if_due(
    connection: sa.Connection, kind: str, every_ms: int, *, at: int, max_attempts: int, priority: int
) -> int:
    """Queue the next run of a recurring kind if it is time and the last one is over; when to ask again.

    However many workers ask at once, one run is queued.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEDULE_LOCK)))
    newest = sa.select(jobs.c.state, jobs.c.created_at).where(jobs.c.kind == kind)
    last = connection.execute(newest.order_by(jobs.c.id.desc()).limit(1)).first()
    if last and last.created_at + every_ms > at:
        return int(last.created_at) + every_ms
    if last and last.state in {QUEUED, RUNNING}:
        return at + min(every_ms, _ASK_AGAIN_MS)
    enqueue(connection, kind, {}, at=at, max_attempts=max_attempts, priority=priority)
    return at + every_ms


def prune(connection: sa.Connection, before: int, *, but: Collection[str] = ()) -> int:
    """Forget jobs that ended well before then, of all kinds `but` some, and never the newest of a kind: the schedule
    counts from it.
    """
    newest = sa.select(sa.func.max(jobs.c.id)).group_by(jobs.c.kind)
    return connection.execute(
        sa.delete(jobs).where(
            jobs.c.state.in_([DONE, CANCELLED]),
            jobs.c.finished_at < before,
            jobs.c.id.not_in(newest),
            jobs.c.kind.not_in(but),
        )
    ).rowcount
