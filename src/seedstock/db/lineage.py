"""Edges of the family tree: what each commit's analysis says of other models, and who counts as whose child."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import lineage_edges, repo_weights, repos

_BATCH = 400

_NOT_CONTRADICTED = sa.or_(lineage_edges.c.verdict.is_(None), lineage_edges.c.verdict != "contradicted")


class EdgeRow(msgspec.Struct, frozen=True):
    """What one commit's analysis says of another model. `role` is what the other is to this repo."""

    id: int
    repo_id: int
    commit_oid: str
    other_repo_id: int | None
    other_commit: str | None
    declared_name: str | None
    declared: str | None
    source: str | None
    role: str
    verdict: str | None
    kind: str | None
    coefficient: float | None
    method: str | None
    reason: str
    created_at: int
    current: bool = True
    """Whether the other end, at its head, still holds the weights that this speaks of."""


def _is_current() -> sa.ColumnElement[bool]:
    """A head that was not analysed yet holds no weights that are known: what was said of others does not hold."""
    edge, end = lineage_edges.c, repos.alias("end")
    head = sa.select(end.c.head_oid).where(end.c.id == edge.other_repo_id).correlate(lineage_edges)
    head_oid: sa.ColumnElement[str] = head.scalar_subquery()

    def only_in(first: sa.ColumnElement[Any], second: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        one, two = repo_weights.alias(), repo_weights.alias()
        same = sa.select(two.c.digest).where(
            two.c.repo_id == one.c.repo_id, two.c.commit_oid == second, two.c.digest == one.c.digest
        )
        kept = same.correlate(one, lineage_edges).exists()
        held = sa.select(one.c.digest).where(one.c.repo_id == edge.other_repo_id, one.c.commit_oid == first)
        return held.where(~kept).correlate(lineage_edges).exists()

    equal = ~only_in(edge.other_commit, head_oid) & ~only_in(head_oid, edge.other_commit)
    return sa.or_(edge.other_repo_id.is_(None), edge.other_commit == head_oid, equal)


_CURRENT = _is_current()
_STORED = [name for name in EdgeRow.__struct_fields__ if name != "current"]
_COLUMNS: list[sa.ColumnElement[Any]] = [*(lineage_edges.c[name] for name in _STORED), _CURRENT]
# An analysis of a commit that is no longer the head says nothing of what the repo is now.
_AT_HEAD = sa.and_(repos.c.id == lineage_edges.c.repo_id, repos.c.head_oid == lineage_edges.c.commit_oid)


def _edges(connection: sa.Connection, statement: sa.Select[Any]) -> list[EdgeRow]:
    rows: Sequence[Sequence[Any]] = connection.execute(statement.order_by(lineage_edges.c.id)).all()
    return [EdgeRow(*row) for row in rows]


def replace_edges(
    connection: sa.Connection, repo_id: int, commit: str, values: Iterable[dict[str, Any]]
) -> list[int]:
    """Set what the analysis of a commit says; the numbers of the edges."""
    connection.execute(
        sa.delete(lineage_edges).where(
            lineage_edges.c.repo_id == repo_id, lineage_edges.c.commit_oid == commit
        )
    )
    numbers = []
    for row in values:
        name = row.get("declared_name")
        statement = sa.insert(lineage_edges).values(
            repo_id=repo_id, commit_oid=commit, declared_key=name.lower() if name else None, **row
        )
        numbers.append(int(connection.execute(statement.returning(lineage_edges.c.id)).scalar_one()))
    return numbers


def edges_of(connection: sa.Connection, repo_id: int, commit: str) -> list[EdgeRow]:
    """What the analysis of a commit says of others."""
    return _edges(
        connection,
        sa.select(*_COLUMNS).where(lineage_edges.c.repo_id == repo_id, lineage_edges.c.commit_oid == commit),
    )


def edges_to(connection: sa.Connection, repo_id: int) -> list[EdgeRow]:
    """What the heads of others say of a repo."""
    return _edges(
        connection,
        sa.select(*_COLUMNS).join(repos, _AT_HEAD).where(lineage_edges.c.other_repo_id == repo_id),
    )


def edges_from_parents(connection: sa.Connection, repo_id: int) -> list[EdgeRow]:
    """What the heads of others say of a repo that they call their child."""
    return [edge for edge in parent_edges(connection, [repo_id]) if edge.other_repo_id == repo_id]


def edges_touching(connection: sa.Connection, repo_ids: Collection[int]) -> list[EdgeRow]:
    """Edges of the heads of these repos, and those of others' heads that end at them."""
    ids: list[int] = list(repo_ids)
    found: dict[int, EdgeRow] = {}
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        for column in (lineage_edges.c.repo_id, lineage_edges.c.other_repo_id):
            statement = sa.select(*_COLUMNS).join(repos, _AT_HEAD).where(column.in_(batch))
            found.update((edge.id, edge) for edge in _edges(connection, statement))
    return [found[number] for number in sorted(found)]


def parent_edges(connection: sa.Connection, repo_ids: Collection[int]) -> list[EdgeRow]:
    """Those edges at the heads of these repos, or ending at them, that can lead to a parent of theirs."""
    ids: list[int] = list(repo_ids)
    found: list[EdgeRow] = []
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        found += _edges(
            connection,
            sa.select(*_COLUMNS)
            .join(repos, _AT_HEAD)
            .where(
                sa.or_(
                    sa.and_(lineage_edges.c.repo_id.in_(batch), lineage_edges.c.role == "parent"),
                    sa.and_(lineage_edges.c.other_repo_id.in_(batch), lineage_edges.c.role == "child"),
                )
            ),
        )
    return found


def parents_of(connection: sa.Connection, repo_id: int) -> set[int]:
    """Repos whose `children` may count this one: by any of its commits, or by what they say of it themselves."""
    edge = lineage_edges.c
    said = sa.select(edge.other_repo_id).where(
        edge.repo_id == repo_id, edge.role == "parent", edge.other_repo_id.is_not(None)
    )
    say = sa.select(edge.repo_id).where(edge.other_repo_id == repo_id, edge.role == "child")
    return set(connection.execute(sa.union(said, say)).scalars())


def all_edges(connection: sa.Connection) -> list[EdgeRow]:
    """Every edge of every head."""
    return _edges(connection, sa.select(*_COLUMNS).join(repos, _AT_HEAD))


def forget_records(connection: sa.Connection, repo_id: int) -> None:
    """Drop the signed records that name a repo; the figures stay."""
    ends = sa.or_(lineage_edges.c.repo_id == repo_id, lineage_edges.c.other_repo_id == repo_id)
    connection.execute(sa.update(lineage_edges).where(ends).values(record=None))


class EvidenceRow(msgspec.Struct, frozen=True):
    """An edge with all that stands behind it."""

    edge: EdgeRow
    evidence: dict[str, Any] | None
    record: str | None


def find_evidence(connection: sa.Connection, edge_id: int) -> EvidenceRow | None:
    """An edge with its figures and its signed record."""
    row: Sequence[Any] | None = connection.execute(
        sa.select(*_COLUMNS, lineage_edges.c.evidence, lineage_edges.c.record).where(
            lineage_edges.c.id == edge_id
        )
    ).first()
    return None if row is None else EvidenceRow(EdgeRow(*row[:-2]), row[-2], row[-1])


def statistics_of(connection: sa.Connection, edge_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The figures of several edges."""
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(edge_ids), _BATCH):
        batch = edge_ids[start : start + _BATCH]
        rows = connection.execute(
            sa.select(lineage_edges.c.id, lineage_edges.c.evidence).where(lineage_edges.c.id.in_(batch))
        )
        found.update((row.id, row.evidence or {}) for row in rows)
    return found


def declaring(connection: sa.Connection, name: str) -> list[tuple[int, str]]:
    """Heads (repo, commit) whose files name a base of that name that was not here when they were analysed."""
    rows = connection.execute(
        sa.select(lineage_edges.c.repo_id, lineage_edges.c.commit_oid)
        .join(repos, _AT_HEAD)
        .where(lineage_edges.c.declared_key == name.lower(), lineage_edges.c.other_repo_id.is_(None))
    )
    return [(row.repo_id, row.commit_oid) for row in rows]


def count_children(connection: sa.Connection, repo_ids: Collection[int]) -> None:
    """Recount the public models that are built on each of these repos."""
    other = repos.alias("other")
    for repo_id in sorted(repo_ids):
        # Those that say so themselves, and those of which this repo's own analysis says it.
        say = (
            sa.select(lineage_edges.c.repo_id.label("child"))
            .join(repos, _AT_HEAD)
            .where(
                lineage_edges.c.other_repo_id == repo_id,
                lineage_edges.c.role == "parent",
                _NOT_CONTRADICTED,
                repos.c.private.is_(False),
            )
        )
        are_said = (
            sa.select(lineage_edges.c.other_repo_id.label("child"))
            .join(repos, _AT_HEAD)
            .join(other, other.c.id == lineage_edges.c.other_repo_id)
            .where(
                lineage_edges.c.repo_id == repo_id,
                lineage_edges.c.role == "child",
                _CURRENT,
                _NOT_CONTRADICTED,
                other.c.private.is_(False),
            )
        )
        children = sa.union(say, are_said).subquery()
        count = sa.select(sa.func.count()).select_from(children).scalar_subquery()
        connection.execute(sa.update(repos).where(repos.c.id == repo_id).values(children=count))


def children_by_relation(connection: sa.Connection, repo_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """How many public models declare each of these repos as their base, by relation, contradicted ones left out."""
    found: dict[int, dict[str, int]] = {repo_id: {} for repo_id in repo_ids}
    rows = connection.execute(
        sa.select(lineage_edges.c.other_repo_id, lineage_edges.c.declared, sa.func.count().label("children"))
        .join(repos, _AT_HEAD)
        .where(
            lineage_edges.c.other_repo_id.in_(list(repo_ids)),
            lineage_edges.c.declared.is_not(None),
            _NOT_CONTRADICTED,
            repos.c.private.is_(False),
        )
        .group_by(lineage_edges.c.other_repo_id, lineage_edges.c.declared)
    )
    for row in rows:
        found[row.other_repo_id][row.declared] = row.children
    return found


def child_ids(connection: sa.Connection, repo_id: int, limit: int) -> list[int]:
    """Repos whose heads name a repo as their parent, contradicted ones left out, the most downloaded first."""
    rows = connection.execute(
        sa.select(lineage_edges.c.repo_id)
        .join(repos, _AT_HEAD)
        .where(lineage_edges.c.other_repo_id == repo_id, lineage_edges.c.role == "parent", _NOT_CONTRADICTED)
        .order_by(repos.c.downloads.desc(), repos.c.id)
        .limit(limit)
    )
    return [row.repo_id for row in rows]
