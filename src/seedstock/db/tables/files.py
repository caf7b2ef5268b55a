"""The bytes of files, whole and in chunks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    LargeBinary,
    Named,
    String,
    TypedColumns,
)

from seedstock.db.tables.base import BigId, Json, metadata


class _Objects(TypedColumns):
    key: Named[str] = Column(String(100), primary_key=True)
    size_bytes: Named[int] = Column(BigInteger)
    checks: Named[bytes] = Column(LargeBinary)
    """One 16-byte XXH3-128 per MiB of stored bytes."""
    stat_signature: Named[str | None] = Column(String(64))
    """Size, inode and modification time of the local file when it was last verified whole."""
    verified_at: Named[int] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)


objects = sa.Table("objects", metadata, _Objects)


class _Files(TypedColumns):
    digest: Named[str] = Column(String(64), primary_key=True)
    """SHA-256 of the plain bytes: the identity of a large file."""
    size_bytes: Named[int] = Column(BigInteger)
    object_key: Named[str | None] = Column(String(100), ForeignKey("objects.key"))
    """Whole representation, if there is one."""
    xet_hash: Named[str | None] = Column(String(64), ForeignKey("xet_files.hash"), index=True)
    """Xet representation, if there is one."""
    header: Named[dict[str, Any] | None] = Column(Json)
    """What the file's own header says (safetensors, GGUF); immutable, as the bytes are."""
    created_at: Named[int] = Column(BigInteger)


files = sa.Table("files", metadata, _Files)


class _RepoFiles(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    digest: Named[str] = Column(String(64), ForeignKey("files.digest"), primary_key=True, index=True)
    created_at: Named[int] = Column(BigInteger)


# A file may be named by hash in a repo only if its bytes were once given there (or copied by a reader).
repo_files = sa.Table("repo_files", metadata, _RepoFiles)


class _XetFiles(TypedColumns):
    hash: Named[str] = Column(String(64), primary_key=True)
    """Xet file hash in its string form."""
    size_bytes: Named[int] = Column(BigInteger)
    terms: Named[bytes] = Column(LargeBinary)
    """48-byte records: raw xorb hash (32), first chunk, end chunk, plain bytes, zero (u32 LE each)."""
    created_at: Named[int] = Column(BigInteger)


xet_files = sa.Table("xet_files", metadata, _XetFiles)


class _Xorbs(TypedColumns):
    hash: Named[str] = Column(String(64), primary_key=True)
    object_key: Named[str] = Column(String(100), ForeignKey("objects.key"))
    size_bytes: Named[int] = Column(BigInteger)
    index: Named[bytes] = Column(LargeBinary)
    """docs/formats/xorb-index.md"""
    created_at: Named[int] = Column(BigInteger)
    last_named_at: Named[int] = Column(BigInteger)


xorbs = sa.Table("xorbs", metadata, _Xorbs)


class _XorbScopes(TypedColumns):
    xorb_hash: Named[str] = Column(String(64), ForeignKey("xorbs.hash", ondelete="CASCADE"), primary_key=True)
    repo_id: Named[int] = Column(
        BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True, index=True
    )


# Which repos hold a xorb: global dedup and shards may only name xorbs that the caller can read.
xorb_scopes = sa.Table("xorb_scopes", metadata, _XorbScopes)


class _XetChunks(TypedColumns):
    chunk_hash: Named[bytes] = Column(LargeBinary(32), primary_key=True)
    xorb_hash: Named[str] = Column(
        String(64), ForeignKey("xorbs.hash", ondelete="CASCADE"), primary_key=True, index=True
    )


xet_chunks = sa.Table("xet_chunks", metadata, _XetChunks)


class _Multipart(TypedColumns):
    id: Named[str] = Column(String(32), primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    digest: Named[str] = Column(String(64))
    size_bytes: Named[int] = Column(BigInteger)
    chunk_bytes: Named[int] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)


multipart_uploads = sa.Table("multipart_uploads", metadata, _Multipart)
