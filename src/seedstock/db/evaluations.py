"""Queries about evaluations; there is none that changes one."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.schema import evaluations


class EvaluationRow(msgspec.Struct, frozen=True):
    """An evaluation as stored."""

    id: int
    job_id: int
    repo_id: int | None
    commit: str | None
    file: str | None
    remote_id: int | None
    remote_model: str | None
    closed: dict[str, Any] | None
    suite: str
    suite_version: int
    suite_digest: str
    dataset_id: int | None
    dataset_commit: str | None
    board: str
    items_digest: str
    settings: dict[str, Any]
    seed: int
    n: int
    score: float
    stderr: float
    low: float
    high: float
    groups: dict[str, Any]
    scores: str
    log_digest: str
    log_bytes: int
    library: str
    duration_s: float
    ran_by: str
    created_at: int


_COLUMNS = [evaluations.c[name] for name in EvaluationRow.__struct_fields__]


def add_evaluation(connection: sa.Connection, **values: Any) -> EvaluationRow:
    """Store what a job found, once; what is stored."""
    insert_new(connection, evaluations, [values])
    row = connection.execute(sa.select(*_COLUMNS).where(evaluations.c.job_id == values["job_id"])).one()
    return EvaluationRow(*row)


def list_evaluations(connection: sa.Connection, repo_id: int, limit: int) -> list[EvaluationRow]:
    """The newest of a repo, newest first."""
    rows = connection.execute(
        sa.select(*_COLUMNS)
        .where(evaluations.c.repo_id == repo_id)
        .order_by(evaluations.c.id.desc())
        .limit(limit)
    )
    return [EvaluationRow(*row) for row in rows]


def list_remote_evaluations(
    connection: sa.Connection, remote_id: int, model: str, limit: int
) -> list[EvaluationRow]:
    """The newest of a model that runs elsewhere, newest first."""
    rows = connection.execute(
        sa.select(*_COLUMNS)
        .where(evaluations.c.remote_id == remote_id, evaluations.c.remote_model == model)
        .order_by(evaluations.c.id.desc())
        .limit(limit)
    )
    return [EvaluationRow(*row) for row in rows]


def find_evaluation(connection: sa.Connection, number: int) -> EvaluationRow | None:
    """One of them, or None."""
    row = connection.execute(sa.select(*_COLUMNS).where(evaluations.c.id == number)).first()
    return EvaluationRow(*row) if row else None


def newest_of_suite(connection: sa.Connection, suite: str, limit: int) -> list[EvaluationRow]:
    """The newest result of each model, file and board of a suite, newest first."""
    subject = evaluations.c.repo_id, evaluations.c.file, evaluations.c.remote_id, evaluations.c.remote_model
    newest = (
        sa.select(sa.func.max(evaluations.c.id))
        .where(evaluations.c.suite == suite)
        .group_by(*subject, evaluations.c.board)
    )
    rows = connection.execute(
        sa.select(*_COLUMNS)
        .where(evaluations.c.id.in_(newest))
        .order_by(evaluations.c.id.desc())
        .limit(limit)
    )
    return [EvaluationRow(*row) for row in rows]


def suites_with_results(connection: sa.Connection, limit: int) -> list[tuple[str, int | None]]:
    """Suites that anything was evaluated on, with the dataset of each, by name."""
    rows = connection.execute(
        sa.select(evaluations.c.suite, evaluations.c.dataset_id)
        .distinct()
        .order_by(evaluations.c.suite)
        .limit(limit)
    )
    return [(str(suite), dataset) for suite, dataset in rows]
