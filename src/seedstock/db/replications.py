"""Queries about replications; there is none that changes one."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import replications


class ReplicationRow(msgspec.Struct, frozen=True):
    """A replication as stored."""

    id: int
    repo_id: int
    commit: str
    recipe_digest: str
    stage: str
    verdict: str
    trust: str
    ran_by: str
    smoke: bool
    record: str
    created_at: int


_COLUMNS = [replications.c[name] for name in ReplicationRow.__struct_fields__]


def add_replication(connection: sa.Connection, **values: object) -> int:
    """Store a replication; its number."""
    number = connection.execute(
        sa.insert(replications).values(**values).returning(replications.c.id)
    ).scalar_one()
    return int(number)


def list_replications(connection: sa.Connection, repo_id: int, limit: int) -> list[ReplicationRow]:
    """The newest of a repo, newest first."""
    rows = connection.execute(
        sa.select(*_COLUMNS)
        .where(replications.c.repo_id == repo_id)
        .order_by(replications.c.id.desc())
        .limit(limit)
    )
    return [ReplicationRow(*row) for row in rows]


def find_replication(connection: sa.Connection, repo_id: int, number: int) -> ReplicationRow | None:
    """One of a repo's, or None."""
    row = connection.execute(
        sa.select(*_COLUMNS).where(replications.c.repo_id == repo_id, replications.c.id == number)
    ).first()
    return ReplicationRow(*row) if row else None
