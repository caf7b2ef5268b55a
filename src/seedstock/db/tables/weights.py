"""What cards say and weights show."""

from __future__ import annotations

from typing import Any

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

from seedstock.db.tables.base import BigId, Json, metadata


class _RevisionMetadata(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    summary: Named[dict[str, Any]] = Column(Json)
    version: Named[int]
    created_at: Named[int] = Column(BigInteger)


# What cards, configs and weight headers of one commit say, read by a job after the push.
revision_metadata = sa.Table("revision_metadata", metadata, _RevisionMetadata)


class _WeightSets(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    digest: Named[str] = Column(String(64), unique=True)
    """SHA-256 over the sorted digests of the files that hold one model's tensors."""
    kind: Named[str] = Column(String(8))
    """`model` or `adapter`."""
    method: Named[str] = Column(String(48))
    problem: Named[str | None] = Column(Text)
    """Why the weights say nothing, where they do not."""
    sketch: Named[bytes | None] = Column(LargeBinary)
    """512 bytes for the scan; None where there is none."""
    signature: Named[bytes] = Column(LargeBinary)
    """MessagePack of `weights.signature.Signature`, deflated."""
    created_at: Named[int] = Column(BigInteger)


# What the weights themselves say, whoever holds them.
weight_sets = sa.Table("weight_sets", metadata, _WeightSets, sqlite_autoincrement=True)


class _RepoWeights(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    digest: Named[str] = Column(String(64), ForeignKey("weight_sets.digest"), primary_key=True, index=True)
    files: Named[dict[str, str]] = Column(Json)
    """Path to file digest."""


repo_weights = sa.Table("repo_weights", metadata, _RepoWeights)


class _Comparisons(TypedColumns):
    left_digest: Named[str] = Column(String(64), primary_key=True)
    right_digest: Named[str] = Column(String(64), primary_key=True)
    method: Named[str] = Column(String(48), primary_key=True)
    result: Named[dict[str, Any]] = Column(Json)
    created_at: Named[int] = Column(BigInteger)


# Of weights, not of repos: equal weights in another repo are not compared again.
comparisons = sa.Table("comparisons", metadata, _Comparisons)


class _LineageEdges(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"))
    commit_oid: Named[str] = Column(String(40))
    other_repo_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="SET NULL"), index=True)
    other_commit: Named[str | None] = Column(String(40))
    declared_name: Named[str | None] = Column(String(250))
    """The base as the repo's own files name it, here or elsewhere."""
    declared_key: Named[str | None] = Column(String(250), index=True)
    declared: Named[str | None] = Column(String(16))
    """`finetune`, `adapter`, `merge` or `quantized`."""
    source: Named[str | None] = Column(String(250))
    """The file that declares it."""
    role: Named[str] = Column(String(8))
    """What the other is to this repo: `parent`, `child` or `relative`."""
    verdict: Named[str | None] = Column(String(16))
    kind: Named[str | None] = Column(String(16))
    coefficient: Named[float | None]
    method: Named[str | None] = Column(String(48))
    reason: Named[str] = Column(Text)
    evidence: Named[dict[str, Any] | None] = Column(Json)
    """Statistics, thresholds, error rate, what was read."""
    record: Named[str | None] = Column(Text)
    """The evidence once more, signed: an in-toto statement in a DSSE envelope, byte for byte."""
    created_at: Named[int] = Column(BigInteger)


# Declared and verified stand in columns of their own and are never merged.
lineage_edges = sa.Table(
    "lineage_edges", metadata, _LineageEdges, Index(None, "repo_id", "commit_oid"), sqlite_autoincrement=True
)


class _RevisionLineage(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    status: Named[str] = Column(String(8))
    """`queued`, `running`, `done` or `failed`."""
    error: Named[str | None] = Column(Text)
    updated_at: Named[int] = Column(BigInteger)


revision_lineage = sa.Table("revision_lineage", metadata, _RevisionLineage)


class _Publishers(TypedColumns):
    namespace_key: Named[str] = Column(String(96), primary_key=True)
    namespace: Named[str] = Column(String(96))
    organisation: Named[str] = Column(String(200))
    country: Named[str | None] = Column(String(2))
    """ISO 3166-1 alpha-2, as stated."""
    source: Named[str] = Column(String(500))
    """Where it is stated."""
    signing_key: Named[str | None] = Column(Text)
    """PEM of the EC public key that the publisher signs models with."""
    stated_by: Named[str] = Column(String(96))
    updated_at: Named[int] = Column(BigInteger)


publishers = sa.Table("publishers", metadata, _Publishers)


class _ModelSignatures(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    state: Named[str] = Column(String(24))
    text: Named[str] = Column(Text)
    signer: Named[str | None] = Column(String(200))
    checked_at: Named[int] = Column(BigInteger)


# What checking the `model.sig` of a commit gave.
model_signatures = sa.Table("model_signatures", metadata, _ModelSignatures)
