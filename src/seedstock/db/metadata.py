"""Queries about what was read from the files of a commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.schema import revision_metadata

_FIND = sa.select(revision_metadata.c.summary).where(
    revision_metadata.c.repo_id == sa.bindparam("repo_id"),
    revision_metadata.c.commit_oid == sa.bindparam("commit"),
    revision_metadata.c.version == sa.bindparam("version"),
)


def find_metadata(
    connection: sa.Connection, repo_id: int, commit: str, version: int
) -> dict[str, Any] | None:
    """The stored record of a commit, if it was written by this version of the reader."""
    return connection.execute(_FIND, {"repo_id": repo_id, "commit": commit, "version": version}).scalar()


def find_many(
    connection: sa.Connection, keys: Sequence[tuple[int, str]], version: int
) -> dict[tuple[int, str], dict[str, Any]]:
    """The stored records of commits of several repos: (repo, commit) to record."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    columns = revision_metadata.c
    for start in range(0, len(keys), 900):
        rows = connection.execute(
            sa.select(columns.repo_id, columns.commit_oid, columns.summary).where(
                sa.tuple_(columns.repo_id, columns.commit_oid).in_(keys[start : start + 900]),
                columns.version == version,
            )
        )
        found.update(((row.repo_id, row.commit_oid), row.summary) for row in rows)
    return found


def put_metadata(
    connection: sa.Connection, repo_id: int, commit: str, version: int, summary: dict[str, Any], at: int
) -> None:
    """Store the record of a commit in place of an older one."""
    connection.execute(
        sa.delete(revision_metadata).where(
            revision_metadata.c.repo_id == repo_id, revision_metadata.c.commit_oid == commit
        )
    )
    row = {"repo_id": repo_id, "commit_oid": commit, "version": version, "summary": summary, "created_at": at}
    insert_new(connection, revision_metadata, [row])
