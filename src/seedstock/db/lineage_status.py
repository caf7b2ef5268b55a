"""How far the analysis of each commit is, and which heads still wait for theirs."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from seedstock.core.names import RepoType
from seedstock.db.schema import jobs, repos, revision_lineage


def put_status(
    connection: sa.Connection, repo_id: int, commit: str, status: str, at: int, error: str | None = None
) -> None:
    """Say how far the analysis of a commit is."""
    values = {"status": status, "error": error, "updated_at": at}
    key = sa.and_(revision_lineage.c.repo_id == repo_id, revision_lineage.c.commit_oid == commit)
    if connection.execute(sa.update(revision_lineage).where(key).values(**values)).rowcount == 0:
        connection.execute(sa.insert(revision_lineage).values(repo_id=repo_id, commit_oid=commit, **values))


def find_status(connection: sa.Connection, repo_id: int, commit: str) -> tuple[str, str | None] | None:
    """How far the analysis of a commit is, and what went wrong."""
    row = connection.execute(
        sa.select(revision_lineage.c.status, revision_lineage.c.error).where(
            revision_lineage.c.repo_id == repo_id, revision_lineage.c.commit_oid == commit
        )
    ).first()
    return None if row is None else (row.status, row.error)


def count_pending(connection: sa.Connection, repo_ids: Collection[int]) -> int:
    """How many heads of these repos wait for their analysis; those whose job is over wait for nothing."""
    ids, count = set(repo_ids), 0
    waits = sa.select(jobs.c.id).where(
        jobs.c.repo_id == repos.c.id,
        jobs.c.state.in_(["queued", "running"]),
        jobs.c.kind == "analyse_lineage",
    )
    rows = connection.execute(
        sa.select(revision_lineage.c.repo_id)
        .join(
            repos,
            sa.and_(
                repos.c.id == revision_lineage.c.repo_id, repos.c.head_oid == revision_lineage.c.commit_oid
            ),
        )
        .where(revision_lineage.c.status.in_(["queued", "running"]), waits.exists())
    )
    for row in rows:
        count += row.repo_id in ids
    return count


def heads_without_status(connection: sa.Connection, limit: int) -> list[tuple[int, str]]:
    """Heads of models that no analysis was ever asked for, such as those of an older version's database."""
    state = revision_lineage.c
    rows = connection.execute(
        sa.select(repos.c.id, repos.c.head_oid)
        .outerjoin(
            revision_lineage, sa.and_(state.repo_id == repos.c.id, state.commit_oid == repos.c.head_oid)
        )
        .where(repos.c.type == RepoType.MODEL, state.repo_id.is_(None))
        .order_by(repos.c.id)
        .limit(limit)
    )
    return [(row.id, row.head_oid) for row in rows]
