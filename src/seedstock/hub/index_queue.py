"""Queues the reading of a commit's metadata and weights, in the transaction that gives reason to."""

from __future__ import annotations

import sqlalchemy as sa

from seedstock.core.names import RepoType
from seedstock.db import lineage, lineage_status, repos
from seedstock.db.repos import RepoRow
from seedstock.jobs.queue import Queue

INDEX_REVISION = "index_revision"
ANALYSE_LINEAGE = "analyse_lineage"
GRADE_OPENNESS = "grade_openness"
CHECK_SIGNATURE = "check_signature"


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


def enqueue_analysis(
    queue: Queue, connection: sa.Connection, repo_id: int, commit_oid: str, at: int, *, again: bool = False
) -> None:
    """Queue the analysis of a commit's lineage, once for each commit unless it is to be done `again`."""
    if not again and lineage_status.find_status(connection, repo_id, commit_oid) is not None:
        return
    lineage_status.put_status(connection, repo_id, commit_oid, "queued", at)
    spec = {"repo_id": repo_id, "commit": commit_oid}
    key = analysis_key(repo_id, commit_oid)
    queue.enqueue_on(connection, ANALYSE_LINEAGE, spec, dedup_key=key, repo_id=repo_id)


def enqueue_family(queue: Queue, connection: sa.Connection, repo: RepoRow, at: int) -> None:
    """Queue again what was said of a model and by it, which depends on who may see it; its own badges go until then."""
    if repo.type != RepoType.MODEL:
        return
    repos.update_repo(connection, repo.id, lineage=None, openness=None)
    lineage.count_children(connection, lineage.parents_of(connection, repo.id))
    enqueue_analysis(queue, connection, repo.id, repo.head_oid, at, again=True)
    enqueue_relatives(queue, connection, repo.id, at)


def enqueue_relatives(queue: Queue, connection: sa.Connection, repo_id: int, at: int) -> None:
    """Queue again what was said of a repo by the analysis of others, which depends on who may see it."""
    for edge in lineage.edges_to(connection, repo_id):
        enqueue_analysis(queue, connection, edge.repo_id, edge.commit_oid, at, again=True)


def analysis_key(repo_id: int, commit_oid: str) -> str:
    """What tells the analysis of one commit from others in the queue."""
    return f"lineage:{repo_id}:{commit_oid}"


def enqueue_grade(queue: Queue, connection: sa.Connection, repo_id: int) -> None:
    """Queue the grading of a model's head, which rests on what its lineage was found to be."""
    queue.enqueue_on(
        connection, GRADE_OPENNESS, {"repo_id": repo_id}, dedup_key=f"grade:{repo_id}", repo_id=repo_id
    )


def enqueue_signature(queue: Queue, connection: sa.Connection, repo_id: int, commit_oid: str) -> None:
    """Queue the check of a commit's OpenSSF signature."""
    spec = {"repo_id": repo_id, "commit": commit_oid}
    key = f"signature:{repo_id}:{commit_oid}"
    queue.enqueue_on(connection, CHECK_SIGNATURE, spec, dedup_key=key, repo_id=repo_id)
