"""Queries about weights: what they say, who holds them, and how two of them compare."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.schema import commits, comparisons, repo_weights, repos, weight_sets

_BATCH = 500


class WeightSetRow(msgspec.Struct, frozen=True):
    """What one model's weights say; `signature` is MessagePack."""

    digest: str
    kind: str
    method: str
    problem: str | None
    signature: bytes


class HolderRow(msgspec.Struct, frozen=True):
    """A commit that holds some weights, and in which files: path to file digest."""

    digest: str
    repo_id: int
    commit_oid: str
    files: dict[str, str]


def find_weight_set(connection: sa.Connection, digest: str, method: str) -> WeightSetRow | None:
    """What the weights say by that method, if they were read by it."""
    columns = weight_sets.c
    row = connection.execute(
        sa.select(columns.digest, columns.kind, columns.method, columns.problem, columns.signature).where(
            columns.digest == digest, columns.method == method
        )
    ).first()
    return None if row is None else WeightSetRow(*row[:4], zlib.decompress(row.signature))


def put_weight_set(connection: sa.Connection, row: WeightSetRow, sketch: bytes | None, at: int) -> None:
    """Record what weights say, in place of what an older method said."""
    values = {
        "kind": row.kind,
        "method": row.method,
        "problem": row.problem,
        "sketch": sketch,
        "signature": zlib.compress(row.signature, 3),
        "created_at": at,
    }
    key = weight_sets.c.digest == row.digest
    before = connection.execute(sa.select(weight_sets.c.method).where(key)).scalar()
    insert_new(connection, weight_sets, [{"digest": row.digest, **values}])
    if before is not None and before != row.method:
        values["id"] = _next_id(connection)  # an index that reads on from the newest number is to see it
    connection.execute(sa.update(weight_sets).where(key).values(**values))


def _next_id(connection: sa.Connection) -> int:
    if connection.dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence("weight_sets", "id")
        return int(connection.execute(sa.select(sa.func.nextval(sequence))).scalar_one())
    return int(connection.execute(sa.select(sa.func.max(weight_sets.c.id))).scalar_one()) + 1


def sketches_after(
    connection: sa.Connection, method: str, after_id: int, limit: int
) -> list[tuple[int, str, bytes]]:
    """Number, digest and signature of weights that can be searched, in the order of their numbers."""
    columns = weight_sets.c
    rows = connection.execute(
        sa.select(columns.id, columns.digest, columns.signature)
        .where(columns.id > after_id, columns.method == method, columns.sketch.is_not(None))
        .order_by(columns.id)
        .limit(limit)
    )
    return [(row.id, row.digest, zlib.decompress(row.signature)) for row in rows]


def is_weight_set(connection: sa.Connection, number: int, digest: str, method: str) -> bool:
    """Whether the weights of that number are these, signed by that method."""
    columns = weight_sets.c
    found = connection.execute(
        sa.select(columns.id).where(columns.id == number, columns.digest == digest, columns.method == method)
    )
    return found.first() is not None


def hold_weights(
    connection: sa.Connection, repo_id: int, commit: str, held: Iterable[tuple[str, dict[str, str]]]
) -> None:
    """Record which weights a commit holds: digest, and path to file digest."""
    rows = [
        {"repo_id": repo_id, "commit_oid": commit, "digest": digest, "files": files} for digest, files in held
    ]
    insert_new(connection, repo_weights, rows)


def held_since(connection: sa.Connection, repo_id: int, digest: str) -> int | None:
    """When a repo first held these weights, by this hub's clock."""
    columns = repo_weights.c
    return connection.execute(
        sa.select(sa.func.min(commits.c.committed_at))
        .join(
            repo_weights, sa.and_(columns.repo_id == commits.c.repo_id, columns.commit_oid == commits.c.oid)
        )
        .where(columns.repo_id == repo_id, columns.digest == digest)
    ).scalar()


def holders_at_head(connection: sa.Connection, digests: Sequence[str]) -> list[HolderRow]:
    """Which heads of main hold any of these weights."""
    columns = repo_weights.c
    found: list[HolderRow] = []
    for start in range(0, len(digests), _BATCH):
        rows = connection.execute(
            sa.select(columns.digest, columns.repo_id, columns.commit_oid, columns.files)
            .join(
                repos,
                sa.and_(repos.c.id == columns.repo_id, repos.c.head_oid == columns.commit_oid),
            )
            .where(columns.digest.in_(digests[start : start + _BATCH]))
            .order_by(columns.repo_id)
        )
        found += [HolderRow(*row) for row in rows]
    return found


def find_comparison(connection: sa.Connection, left: str, right: str, method: str) -> dict[str, Any] | None:
    """The result of comparing two weights in this order, if that was done."""
    columns = comparisons.c
    return connection.execute(
        sa.select(columns.result).where(
            columns.left_digest == left, columns.right_digest == right, columns.method == method
        )
    ).scalar()


def put_comparison(
    connection: sa.Connection, left: str, right: str, method: str, result: dict[str, Any], at: int
) -> None:
    """Keep the result of a comparison."""
    insert_new(
        connection,
        comparisons,
        [{"left_digest": left, "right_digest": right, "method": method, "result": result, "created_at": at}],
    )
