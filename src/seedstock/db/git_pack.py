"""Queries behind `git clone`: the whole commit graph at once, and objects in the form packs hold them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from seedstock.db.git import batches
from seedstock.db.schema import commit_parents, commits, git_objects


class PackedObject(msgspec.Struct, frozen=True):
    """An object as it is stored: zlib-compressed, without git's header."""

    oid: str
    kind: str
    size_bytes: int
    compressed: bytes


def load_trees(connection: sa.Connection, repo_id: int) -> dict[str, str]:
    """Every commit of the repo and its tree."""
    rows = connection.execute(
        sa.select(commits.c.oid, commits.c.tree_oid).where(commits.c.repo_id == repo_id)
    )
    return {row.oid: row.tree_oid for row in rows}


def load_parents(connection: sa.Connection, repo_id: int) -> dict[str, list[str]]:
    """Parents of every commit that has some, first parent first."""
    rows = connection.execute(
        sa.select(commit_parents.c.oid, commit_parents.c.parent_oid)
        .where(commit_parents.c.repo_id == repo_id)
        .order_by(commit_parents.c.oid, commit_parents.c.position)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.oid, []).append(row.parent_oid)
    return found


def load_sizes(connection: sa.Connection, repo_id: int, oids: Sequence[str]) -> dict[str, int]:
    """Uncompressed sizes of the objects that exist."""
    found: dict[str, int] = {}
    for batch in batches(oids):
        rows = connection.execute(
            sa.select(git_objects.c.oid, git_objects.c.size_bytes).where(
                git_objects.c.repo_id == repo_id, git_objects.c.oid.in_(batch)
            )
        )
        found.update((row.oid, row.size_bytes) for row in rows)
    return found


def load_packed(connection: sa.Connection, repo_id: int, oids: Sequence[str]) -> dict[str, PackedObject]:
    """The objects that exist, ready to be copied into a pack."""
    found: dict[str, PackedObject] = {}
    for batch in batches(oids):
        rows = connection.execute(
            sa.select(
                git_objects.c.oid, git_objects.c.kind, git_objects.c.size_bytes, git_objects.c.data
            ).where(git_objects.c.repo_id == repo_id, git_objects.c.oid.in_(batch))
        )
        found.update((row[0], PackedObject(*row)) for row in rows)
    return found
