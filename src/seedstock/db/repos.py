"""Repositories as rows: found by name or number, added, changed, copied; their tags, and where old names lead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.core.names import RepoType
from seedstock.db.inserts import insert_new
from seedstock.db.schema import (
    accounts,
    commit_changes,
    commit_parents,
    commits,
    git_objects,
    refs,
    repo_files,
    repo_redirects,
    repo_tags,
    repos,
    revision_metadata,
    xorb_scopes,
)

_BATCH = 5_000


class RepoRow(msgspec.Struct, frozen=True):
    """A repository as stored, with the name of its namespace."""

    id: int
    type: str
    namespace_id: int
    name: str
    name_key: str
    private: bool
    gated: str | None
    disabled: bool
    created_by: int | None
    created_at: int
    updated_at: int
    head_oid: str
    likes: int
    downloads: int
    downloads_all_time: int
    trending_score: float
    pipeline_tag: str | None
    library_name: str | None
    license: str | None
    parameters: int | None
    runnable: bool
    used_storage_bytes: int
    runs: int
    lineage: str | None
    children: int
    openness: str | None
    namespace: str

    @property
    def repo_id(self) -> str:
        """`namespace/name` in canonical spelling."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Path of the repo on the web, without a leading slash."""
        return RepoType(self.type).url_prefix + self.repo_id


repo_select = sa.select(*repos.c, accounts.c.name.label("namespace")).join(
    accounts, accounts.c.id == repos.c.namespace_id
)


def repo_row(row: Sequence[Any]) -> RepoRow:
    """A row of `repo_select` as what it is."""
    return RepoRow(*row)


# Statements of every request are built once, with parameters: building one takes longer than running it.
_FIND_REPO = repo_select.where(
    repos.c.type == sa.bindparam("type"),
    accounts.c.name_key == sa.bindparam("namespace"),
    repos.c.name_key == sa.bindparam("name"),
)
_FIND_MOVED = repo_select.join(repo_redirects, repo_redirects.c.repo_id == repos.c.id).where(
    repo_redirects.c.type == sa.bindparam("type"),
    repo_redirects.c.namespace_key == sa.bindparam("namespace"),
    repo_redirects.c.name_key == sa.bindparam("name"),
)


def find_repo(connection: sa.Connection, type: str, namespace: str, name: str) -> RepoRow | None:
    """The repo of that name in any spelling, or None; renames are not followed."""
    wanted = {"type": type, "namespace": namespace.lower(), "name": name.lower()}
    row = connection.execute(_FIND_REPO, wanted).first()
    return repo_row(row) if row else None


def find_repo_by_id(connection: sa.Connection, repo_id: int) -> RepoRow | None:
    """The repo of that id, or None."""
    row = connection.execute(repo_select.where(repos.c.id == repo_id)).first()
    return repo_row(row) if row else None


def repos_by_id(connection: sa.Connection, ids: Iterable[int]) -> dict[int, RepoRow]:
    """The repos of those ids: in one query, or in several where a database takes no more values in one."""
    wanted = list(ids)
    found: dict[int, RepoRow] = {}
    for start in range(0, max(len(wanted), 1), _BATCH):
        rows = connection.execute(repo_select.where(repos.c.id.in_(wanted[start : start + _BATCH])))
        found.update((row.id, repo_row(row)) for row in rows)
    return found


def find_moved(connection: sa.Connection, type: str, namespace: str, name: str) -> RepoRow | None:
    """The repo that used to have that name, or None."""
    wanted = {"type": type, "namespace": namespace.lower(), "name": name.lower()}
    row = connection.execute(_FIND_MOVED, wanted).first()
    return repo_row(row) if row else None


def insert_repo(connection: sa.Connection, **values: Any) -> int:
    """Add a repo; raises sqlalchemy IntegrityError if the name is taken."""
    return int(connection.execute(sa.insert(repos).values(**values).returning(repos.c.id)).scalar_one())


def update_repo(connection: sa.Connection, repo_id: int, **values: Any) -> None:
    """Change columns of a repo."""
    connection.execute(sa.update(repos).where(repos.c.id == repo_id).values(**values))


def delete_repo(connection: sa.Connection, repo_id: int) -> None:
    """Remove a repo and all that hangs on it; stored files stay for garbage collection."""
    connection.execute(sa.delete(repos).where(repos.c.id == repo_id))


_CONTENTS = (
    git_objects,
    commits,
    commit_parents,
    commit_changes,
    refs,
    repo_files,
    repo_tags,
    revision_metadata,
    xorb_scopes,
)


def copy_contents(connection: sa.Connection, source_id: int, target_id: int) -> None:
    """Give an empty repo all that another holds: objects, history, refs, tags and rights to large files."""
    for table in _CONTENTS:
        columns = [column for column in table.c if column.name != "repo_id"]
        connection.execute(
            sa.insert(table).from_select(
                ["repo_id", *(column.name for column in columns)],
                sa.select(sa.literal(target_id), *columns).where(table.c.repo_id == source_id),
            )
        )


def set_redirect(connection: sa.Connection, type: str, namespace: str, name: str, repo_id: int) -> None:
    """Let an old name lead to a repo."""
    clear_redirect(connection, type, namespace, name)
    connection.execute(
        sa.insert(repo_redirects).values(
            type=type, namespace_key=namespace.lower(), name_key=name.lower(), repo_id=repo_id
        )
    )


def clear_redirect(connection: sa.Connection, type: str, namespace: str, name: str) -> None:
    """Forget that a name led elsewhere, because a real repo takes it."""
    connection.execute(
        sa.delete(repo_redirects).where(
            repo_redirects.c.type == type,
            repo_redirects.c.namespace_key == namespace.lower(),
            repo_redirects.c.name_key == name.lower(),
        )
    )


def replace_tags(connection: sa.Connection, repo_id: int, tags: Iterable[str]) -> None:
    """Set the tags that listings filter by."""
    connection.execute(sa.delete(repo_tags).where(repo_tags.c.repo_id == repo_id))
    values = [
        {"repo_id": repo_id, "tag": tag, "position": position}
        for position, tag in enumerate(dict.fromkeys(tag[:250] for tag in tags))
    ]
    insert_new(connection, repo_tags, values)


def tags_of(connection: sa.Connection, repo_ids: Sequence[int]) -> dict[int, list[str]]:
    """The tags of several repos in one query, in card order."""
    found: dict[int, list[str]] = {repo_id: [] for repo_id in repo_ids}
    rows = connection.execute(
        sa.select(repo_tags.c.repo_id, repo_tags.c.tag)
        .where(repo_tags.c.repo_id.in_(repo_ids))
        .order_by(repo_tags.c.repo_id, repo_tags.c.position)
    )
    for row in rows:
        found[row.repo_id].append(row.tag)
    return found
