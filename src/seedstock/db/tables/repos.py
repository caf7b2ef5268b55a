"""Repositories, and what people make of them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Named,
    String,
    Text,
    TypedColumns,
)

from seedstock.db.tables.base import BigId, metadata


class _Repos(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    type: Named[str] = Column(String(10))
    namespace_id: Named[int] = Column(BigId, ForeignKey("accounts.id"), index=True)
    name: Named[str] = Column(String(96))
    name_key: Named[str] = Column(String(96))
    private: Named[bool]
    gated: Named[str | None] = Column(String(8))
    disabled: Named[bool]
    created_by: Named[int | None] = Column(BigId)
    created_at: Named[int] = Column(BigInteger)
    updated_at: Named[int] = Column(BigInteger)
    head_oid: Named[str] = Column(String(40))
    """Commit at the head of `main`; copied from `refs` in the transaction that moves it."""
    likes: Named[int] = Column(server_default="0")
    downloads: Named[int] = Column(BigInteger, server_default="0")
    """In the last 30 days."""
    downloads_all_time: Named[int] = Column(BigInteger, server_default="0")
    trending_score: Named[float] = Column(server_default="0")
    pipeline_tag: Named[str | None] = Column(String(96))
    library_name: Named[str | None] = Column(String(96))
    license: Named[str | None] = Column(String(96))
    parameters: Named[int | None] = Column(BigInteger)
    runnable: Named[bool] = Column(default=False)
    """Whether the head holds a file that the embedded engine loads."""
    used_storage_bytes: Named[int] = Column(BigInteger, server_default="0")
    runs: Named[int] = Column(BigInteger, server_default="0")
    """Answers given by the run endpoint, all time."""
    lineage: Named[str | None] = Column(String(16))
    """What the head's foundations rest on: `verified`, `declared`, `contradicted` or `related`; None: nothing known."""
    children: Named[int] = Column(server_default="0")
    """Public models that are built on this one."""
    openness: Named[str | None] = Column(String(20))
    """`open-science`, `open-weight` or `weights-available`."""


repos = sa.Table(
    "repos",
    metadata,
    _Repos,
    sa.UniqueConstraint("type", "namespace_id", "name_key"),
    Index(None, "type", "trending_score"),
    Index(None, "type", "likes"),
    Index(None, "type", "downloads"),
    Index(None, "type", "updated_at"),
    Index(None, "type", "created_at"),
    Index(None, "type", "children"),
    sqlite_autoincrement=True,
)


class _RepoRedirects(TypedColumns):
    type: Named[str] = Column(String(10), primary_key=True)
    namespace_key: Named[str] = Column(String(96), primary_key=True)
    name_key: Named[str] = Column(String(96), primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)


repo_redirects = sa.Table("repo_redirects", metadata, _RepoRedirects)


class _RepoTags(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    tag: Named[str] = Column(String(250), primary_key=True, index=True)
    position: Named[int]


repo_tags = sa.Table("repo_tags", metadata, _RepoTags)


class _Refs(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    name: Named[str] = Column(String(255), primary_key=True)
    """Full name: `refs/heads/main`, `refs/tags/v1`."""
    oid: Named[str] = Column(String(40))
    message: Named[str | None] = Column(Text)


refs = sa.Table("refs", metadata, _Refs)


class _Likes(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    account_id: Named[int] = Column(
        BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Named[int] = Column(BigInteger)


likes = sa.Table("likes", metadata, _Likes)


class _DownloadDays(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    day: Named[int] = Column(primary_key=True)
    """Days since 1970-01-01 UTC."""
    count: Named[int] = Column(BigInteger)


download_days = sa.Table("download_days", metadata, _DownloadDays)
