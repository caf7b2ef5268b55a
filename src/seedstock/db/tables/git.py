"""Objects of git, and histories as columns."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Named,
    String,
    Text,
    TypedColumns,
)

from seedstock.db.tables.base import BigId, metadata


class _GitObjects(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Named[str] = Column(String(40), primary_key=True)
    kind: Named[str] = Column(String(6))
    """`blob`, `tree`, `commit` or `tag`."""
    size_bytes: Named[int] = Column(BigInteger)
    lfs_digest: Named[str | None] = Column(String(64))
    """For a blob that is an LFS pointer: what it points at."""
    lfs_size_bytes: Named[int | None] = Column(BigInteger)
    data: Named[bytes] = Column(LargeBinary)
    """The object's content, zlib-compressed, without git's header."""


# The small columns precede `data` so that listings never touch overflow pages.
git_objects = sa.Table("git_objects", metadata, _GitObjects)


class _Commits(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Named[str] = Column(String(40), primary_key=True)
    tree_oid: Named[str] = Column(String(40))
    generation: Named[int]
    """1 for a root, else 1 + the largest of the parents': a topological order that SQL can sort by."""
    author: Named[str] = Column(String(200))
    title: Named[str] = Column(Text)
    message: Named[str] = Column(Text)
    """What follows the title."""
    committed_at: Named[int] = Column(BigInteger)


# What `git_objects` holds as bytes, once more as columns: histories are listed without parsing objects.
commits = sa.Table("commits", metadata, _Commits)


class _CommitParents(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Named[str] = Column(String(40), primary_key=True)
    position: Named[int] = Column(primary_key=True)
    parent_oid: Named[str] = Column(String(40))


commit_parents = sa.Table("commit_parents", metadata, _CommitParents)


class _CommitChanges(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    path: Named[str] = Column(Text, primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    kind: Named[str] = Column(String(1))
    """`A` added, `M` modified, `D` deleted; `T` a folder that something changed in."""


# Against the first parent. Answers "which commit last touched this?" for a whole listing in one query.
commit_changes = sa.Table("commit_changes", metadata, _CommitChanges, Index(None, "repo_id", "commit_oid"))
