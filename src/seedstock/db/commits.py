"""Commits as rows: their columns, parents and changed paths, and the history that hangs together by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.git import Key, batches
from seedstock.db.schema import commit_changes, commit_parents, commits


class CommitRow(msgspec.Struct, frozen=True):
    """A commit as columns."""

    oid: str
    tree_oid: str
    generation: int
    author: str
    title: str
    message: str
    committed_at: int


_COMMIT_COLUMNS = [commits.c[name] for name in CommitRow.__struct_fields__]
# Built once: building a statement takes longer than running it.
_FIND_COMMIT = sa.select(*_COMMIT_COLUMNS).where(
    commits.c.repo_id == sa.bindparam("repo_id"), commits.c.oid == sa.bindparam("oid")
)


def find_commits(connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, CommitRow]:
    """Commits of several repos."""
    found: dict[Key, CommitRow] = {}
    for batch in batches(keys):
        rows: Any = connection.execute(
            sa.select(commits.c.repo_id, *_COMMIT_COLUMNS).where(
                sa.tuple_(commits.c.repo_id, commits.c.oid).in_(batch)
            )
        )
        found.update(((row[0], row[1]), CommitRow(*row[1:])) for row in rows)
    return found


def insert_commit(
    connection: sa.Connection,
    repo_id: int,
    row: CommitRow,
    parents: Sequence[str],
    changes: Mapping[str, str],
) -> None:
    """Record a commit's columns, parents and changed paths (path to kind)."""
    connection.execute(sa.insert(commits).values(repo_id=repo_id, **msgspec.structs.asdict(row)))
    if parents:
        connection.execute(
            sa.insert(commit_parents),
            [
                {"repo_id": repo_id, "oid": row.oid, "position": position, "parent_oid": parent}
                for position, parent in enumerate(parents)
            ],
        )
    if changes:
        connection.execute(
            sa.insert(commit_changes),
            [{"repo_id": repo_id, "path": p, "commit_oid": row.oid, "kind": k} for p, k in changes.items()],
        )


def find_commit(connection: sa.Connection, repo_id: int, oid: str) -> CommitRow | None:
    """The commit of that full oid, or None."""
    row = connection.execute(_FIND_COMMIT, {"repo_id": repo_id, "oid": oid}).first()
    return CommitRow(*row) if row else None


def find_commit_by_prefix(connection: sa.Connection, repo_id: int, prefix: str) -> CommitRow | None:
    """The only commit whose oid starts with `prefix`; None when there is none or several."""
    rows = connection.execute(
        sa.select(*_COMMIT_COLUMNS)
        .where(commits.c.repo_id == repo_id, commits.c.oid >= prefix, commits.c.oid <= prefix + "g")
        .limit(2)
    ).all()
    return CommitRow(*rows[0]) if len(rows) == 1 else None


def parents_of(connection: sa.Connection, repo_id: int, oid: str) -> list[str]:
    """Parents of a commit, first parent first."""
    return list(
        connection.execute(
            sa.select(commit_parents.c.parent_oid)
            .where(commit_parents.c.repo_id == repo_id, commit_parents.c.oid == oid)
            .order_by(commit_parents.c.position)
        ).scalars()
    )


def _ancestors(repo_id: int, oid: str) -> sa.CTE:
    """The commit and everything it descends from, as a recursive table with one column `oid`."""
    base = sa.select(sa.literal(oid, sa.String(40)).label("oid")).cte("ancestors", recursive=True)
    step = sa.select(commit_parents.c.parent_oid).where(
        commit_parents.c.repo_id == repo_id, commit_parents.c.oid == base.c.oid
    )
    return base.union(step)


def history(connection: sa.Connection, repo_id: int, oid: str, limit: int, offset: int) -> list[CommitRow]:
    """Commits reachable from `oid`, newest first, in topological order."""
    ancestors = _ancestors(repo_id, oid)
    rows = connection.execute(
        sa.select(*_COMMIT_COLUMNS)
        .join(ancestors, ancestors.c.oid == commits.c.oid)
        .where(commits.c.repo_id == repo_id)
        .order_by(commits.c.generation.desc(), commits.c.committed_at.desc(), commits.c.oid)
        .limit(limit)
        .offset(offset)
    )
    return [CommitRow(*row) for row in rows]


def count_history(connection: sa.Connection, repo_id: int, oid: str) -> int:
    """How many commits `oid` descends from, itself included."""
    ancestors = _ancestors(repo_id, oid)
    return int(connection.execute(sa.select(sa.func.count()).select_from(ancestors)).scalar_one())


def history_of_path(
    connection: sa.Connection, repo_id: int, oid: str, path: str, limit: int, offset: int
) -> list[CommitRow]:
    """Ancestors of `oid` that changed a file or folder, newest first."""
    ancestors = _ancestors(repo_id, oid)
    rows = connection.execute(
        sa.select(*_COMMIT_COLUMNS)
        .join(ancestors, ancestors.c.oid == commits.c.oid)
        .join(
            commit_changes,
            sa.and_(commit_changes.c.repo_id == repo_id, commit_changes.c.commit_oid == commits.c.oid),
        )
        .where(commits.c.repo_id == repo_id, commit_changes.c.path == path)
        .order_by(commits.c.generation.desc(), commits.c.committed_at.desc(), commits.c.oid)
        .limit(limit)
        .offset(offset)
    )
    return [CommitRow(*row) for row in rows]


def last_touching(
    connection: sa.Connection, repo_id: int, oid: str, paths: Sequence[str]
) -> dict[str, CommitRow]:
    """For each path, the newest ancestor of `oid` that changed it or something below it."""
    newest: dict[str, CommitRow] = {}
    for batch in batches(paths):
        ancestors = _ancestors(repo_id, oid)
        rows: Any = connection.execute(
            sa.select(commit_changes.c.path, *_COMMIT_COLUMNS)
            .join(ancestors, ancestors.c.oid == commit_changes.c.commit_oid)
            .join(
                commits,
                sa.and_(commits.c.repo_id == repo_id, commits.c.oid == commit_changes.c.commit_oid),
            )
            .where(commit_changes.c.repo_id == repo_id, commit_changes.c.path.in_(batch))
            .order_by(commits.c.generation)
        )
        newest.update((row[0], CommitRow(*row[1:])) for row in rows)
    return newest


def changes_of(connection: sa.Connection, repo_id: int, oid: str) -> list[tuple[str, str]]:
    """Changed files of a commit: kind and path, by path; folders are left out."""
    rows = connection.execute(
        sa.select(commit_changes.c.kind, commit_changes.c.path)
        .where(
            commit_changes.c.repo_id == repo_id,
            commit_changes.c.commit_oid == oid,
            commit_changes.c.kind != "T",
        )
        .order_by(commit_changes.c.path)
    )
    return [(row.kind, row.path) for row in rows]
