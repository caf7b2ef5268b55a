"""Which job a worker takes next: the most urgent, then those of accounts that have none running, then the oldest."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from seedstock.db.jobs import COLUMNS, QUEUED, RUNNING, JobRow, row_of
from seedstock.db.schema import jobs

_CLAIM_LOCK = 0x5EEDC1A1


def claim(
    connection: sa.Connection,
    owner: str,
    at: int,
    lease_ms: int,
    *,
    only: Collection[str] | None = None,
    but: Collection[str] = (),
    most_per_account: int | None = None,
) -> JobRow | None:
    """Take the most urgent job that is due, of the kinds `only` and none of `but`, or None.

    With `most_per_account`, no account gets more running jobs of the kinds than that, and of equally urgent jobs
    those of accounts without a running one come first. The priority is looked up first, so that each look-up walks
    the index (state, priority, run_after) instead of sorting all that is queued.
    """
    due, chosen = _due(at, only, but), None
    if most_per_account is not None:
        if connection.dialect.name == "postgresql":  # else two workers might both count before either claims
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CLAIM_LOCK)))
        running = _running_by_account(connection, only)
        due = _sparing(due, [account for account, count in running.items() if count >= most_per_account])
        chosen = _first(due, _sparing(due, running)) if running else None
    chosen = chosen if chosen is not None else _first(due, due)
    row = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == chosen, jobs.c.state == QUEUED)
        .values(
            state=RUNNING,
            dedup_key=None,
            lease_owner=owner,
            lease_expires_at=at + lease_ms,
            attempts=jobs.c.attempts + 1,
            started_at=at,
            error=None,
        )
        .returning(*COLUMNS)
    ).first()
    return row_of(row) if row else None


def _first(due: sa.ColumnElement[bool], wanted: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """The oldest of the most urgent due jobs; one of those `wanted`, if one is as urgent."""
    urgency = sa.select(jobs.c.priority).where(due).order_by(jobs.c.priority.desc()).limit(1)
    found = [
        sa.select(jobs.c.id)
        .where(rule, jobs.c.priority == urgency.scalar_subquery())
        .order_by(jobs.c.run_after, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
        for rule in ([due] if wanted is due else [wanted, due])
    ]
    return sa.func.coalesce(*found) if len(found) > 1 else found[0]


def _running_by_account(connection: sa.Connection, only: Collection[str] | None) -> dict[int, int]:
    """How many jobs of the kinds run for each account that has some; there are never many."""
    query = sa.select(jobs.c.account_id, sa.func.count()).where(
        jobs.c.state == RUNNING, jobs.c.account_id.is_not(None)
    )
    if only is not None:
        query = query.where(jobs.c.kind.in_(sorted(only)))
    found = connection.execute(query.group_by(jobs.c.account_id))
    return {account: count for account, count in found if account is not None}


def _sparing(rule: sa.ColumnElement[bool], accounts: Collection[int]) -> sa.ColumnElement[bool]:
    if not accounts:
        return rule
    return rule & sa.or_(jobs.c.account_id.is_(None), jobs.c.account_id.not_in(sorted(accounts)))


def has_due(
    connection: sa.Connection,
    at: int,
    *,
    only: Collection[str] | None = None,
    but: Collection[str] = (),
    most_per_account: int | None = None,
) -> bool:
    """Whether a job may be claimed; cheaper than a claim, and takes no write lock."""
    due = _due(at, only, but)
    if connection.execute(sa.select(jobs.c.id).where(due).limit(1)).first() is None:
        return False
    if most_per_account is None:
        return True
    running = _running_by_account(connection, only)
    full = [account for account, count in running.items() if count >= most_per_account]
    return (
        not full
        or connection.execute(sa.select(jobs.c.id).where(_sparing(due, full)).limit(1)).first() is not None
    )


def _due(at: int, only: Collection[str] | None, but: Collection[str]) -> sa.ColumnElement[bool]:
    rule = sa.and_(jobs.c.state == QUEUED, jobs.c.run_after <= at)
    if only is not None:
        rule &= jobs.c.kind.in_(sorted(only))
    return rule & jobs.c.kind.not_in(sorted(but)) if but else rule
