"""Work, and what it showed."""

from __future__ import annotations

from typing import Any

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

from seedstock.db.tables.base import BigId, Json, metadata


class _Jobs(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    kind: Named[str] = Column(String(48))
    spec: Named[dict[str, Any]] = Column(Json)
    state: Named[str] = Column(String(12))
    """`queued`, `running`, `done`, `dead` or `cancelled`."""
    priority: Named[int]
    dedup_key: Named[str | None] = Column(String(200))
    """At most one queued job per key: a second enqueue of the same work is the first one."""
    repo_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    account_id: Named[int | None] = Column(BigId)
    attempts: Named[int]
    max_attempts: Named[int]
    run_after: Named[int] = Column(BigInteger)
    lease_owner: Named[str | None] = Column(String(100))
    lease_expires_at: Named[int | None] = Column(BigInteger)
    cancel_requested: Named[bool]
    progress: Named[dict[str, Any] | None] = Column(Json)
    result: Named[dict[str, Any] | None] = Column(Json)
    error: Named[str | None] = Column(Text)
    created_at: Named[int] = Column(BigInteger)
    started_at: Named[int | None] = Column(BigInteger)
    finished_at: Named[int | None] = Column(BigInteger)


jobs = sa.Table(
    "jobs",
    metadata,
    _Jobs,
    Index(None, "state", "priority", "run_after"),
    Index(None, "account_id", "id"),
    Index(
        "ux_jobs_queued_dedup_key",
        "dedup_key",
        unique=True,
        sqlite_where=sa.text("state = 'queued' AND dedup_key IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND dedup_key IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)


class _JobLogs(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    job_id: Named[int] = Column(BigId, ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Named[int] = Column(BigInteger)
    text: Named[str] = Column(Text)
    kind: Named[str] = Column(String(8), server_default="log")
    """`log`, or the kind of an event."""
    data: Named[dict[str, Any] | None] = Column(Json)
    """Of an event."""


# All that a job said, in the order of the ids; the second index is for plots, which want one kind.
job_logs = sa.Table(
    "job_logs", metadata, _JobLogs, Index(None, "job_id", "id"), Index(None, "job_id", "kind", "id")
)


class _Replications(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"))
    commit: Named[str] = Column(String(40))
    recipe_digest: Named[str] = Column(String(80))
    stage: Named[str] = Column(String(64))
    verdict: Named[str] = Column(String(32))
    trust: Named[str] = Column(String(32))
    ran_by: Named[str] = Column(String(96))
    """Name of the account that asked, as it was."""
    smoke: Named[bool]
    record: Named[str] = Column(Text)
    """The signed envelope."""
    created_at: Named[int] = Column(BigInteger)


# Written once, never changed: what a replication showed.
replications = sa.Table("replications", metadata, _Replications, Index(None, "repo_id", "id"))


class _Evaluations(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    job_id: Named[int] = Column(BigId, unique=True)
    """Each job files one result, however often it runs."""
    repo_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"))
    """None for a model that runs elsewhere: it has `remote_id`, `remote_model` and `closed` in place of a commit."""
    commit: Named[str | None] = Column(String(40))
    file: Named[str | None] = Column(String(250))
    """File or quantisation, where one was named."""
    remote_id: Named[int | None] = Column(BigId, ForeignKey("remotes.id", ondelete="CASCADE"))
    remote_model: Named[str | None] = Column(String(200))
    """The name that it has there."""
    closed: Named[dict[str, Any] | None] = Column(Json)
    """What else is known: the API's kind, revisions of the remote's settings, what the upstream called the model."""
    suite: Named[str] = Column(String(250))
    """Name of a shipped suite, or `datasets/namespace/name` as it was called."""
    suite_version: Named[int]
    suite_digest: Named[str] = Column(String(64))
    """Of a dataset: of its task file."""
    dataset_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    dataset_commit: Named[str | None] = Column(String(40))
    board: Named[str] = Column(String(64))
    """SHA-256 over suite, items and settings: equal for results that are ranked together."""
    items_digest: Named[str] = Column(String(64))
    settings: Named[dict[str, Any]] = Column(Json)
    seed: Named[int] = Column(BigInteger)
    n: Named[int]
    score: Named[float]
    stderr: Named[float]
    low: Named[float]
    high: Named[float]
    groups: Named[dict[str, Any]] = Column(Json)
    """The same figures by level or kind."""
    scores: Named[str] = Column(Text)
    """One digit an item, in the order of the items: `1` right, `0` wrong."""
    log_digest: Named[str] = Column(String(64))
    """SHA-256 of the sample-level log, a stored file that no repo names."""
    log_bytes: Named[int] = Column(BigInteger)
    library: Named[str] = Column(String(80))
    duration_s: Named[float]
    ran_by: Named[str] = Column(String(96))
    """Name of the account that asked, as it was."""
    created_at: Named[int] = Column(BigInteger)


# Written once, never changed: what a model scored.
evaluations = sa.Table(
    "evaluations",
    metadata,
    _Evaluations,
    Index(None, "repo_id", "id"),
    Index(None, "remote_id", "remote_model", "id"),
    Index(None, "suite", "board"),
    sqlite_autoincrement=True,
)
