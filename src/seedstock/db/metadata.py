"""Queries about what was read from the files of a commit."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from seedstock.db.schema import revision_metadata


def find_metadata(
    connection: sa.Connection, repo_id: int, commit: str, version: int
) -> dict[str, Any] | None:
    """The stored record of a commit, if it was written by this version of the reader."""
    return connection.execute(
        sa.select(revision_metadata.c.summary).where(
            revision_metadata.c.repo_id == repo_id,
            revision_metadata.c.commit_oid == commit,
            revision_metadata.c.version == version,
        )
    ).scalar()


def put_metadata(
    connection: sa.Connection, repo_id: int, commit: str, version: int, summary: dict[str, Any], at: int
) -> None:
    """Store the record of a commit in place of an older one."""
    connection.execute(
        sa.delete(revision_metadata).where(
            revision_metadata.c.repo_id == repo_id, revision_metadata.c.commit_oid == commit
        )
    )
    connection.execute(
        sa.insert(revision_metadata).values(
            repo_id=repo_id, commit_oid=commit, version=version, summary=summary, created_at=at
        )
    )
