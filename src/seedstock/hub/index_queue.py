"""Queues the reading of a commit's metadata, in the transaction that makes the commit."""

from __future__ import annotations

import sqlalchemy as sa

from seedstock.jobs.queue import Queue

INDEX_REVISION = "index_revision"


def enqueue_index(queue: Queue, connection: sa.Connection, repo_id: int, commit_oid: str) -> None:
    """Queue it; a commit that is waiting already waits once."""
    spec = {"repo_id": repo_id, "commit": commit_oid}
    queue.enqueue_on(
        connection,
        INDEX_REVISION,
        spec,
        dedup_key=f"index:{repo_id}:{commit_oid}",
        repo_id=repo_id,
        priority=10,
    )
