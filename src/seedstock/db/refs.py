"""Refs of a repo: where its branches, tags and other names point."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import refs


class RefRow(msgspec.Struct, frozen=True):
    """A ref: full name and the commit it points at."""

    name: str
    oid: str


# Built once: building a statement takes longer than running it.
_FIND_REFS = sa.select(refs.c.name, refs.c.oid).where(
    refs.c.repo_id == sa.bindparam("repo_id"), refs.c.name.in_(sa.bindparam("names", expanding=True))
)


def list_refs(connection: sa.Connection, repo_id: int) -> list[RefRow]:
    """Every ref of a repo, by name."""
    rows = connection.execute(
        sa.select(refs.c.name, refs.c.oid).where(refs.c.repo_id == repo_id).order_by(refs.c.name)
    )
    return [RefRow(*row) for row in rows]


def find_refs(connection: sa.Connection, repo_id: int, names: Sequence[str]) -> dict[str, str]:
    """Those of the named refs that exist: full name to commit."""
    rows = connection.execute(_FIND_REFS, {"repo_id": repo_id, "names": list(names)})
    return {row.name: row.oid for row in rows}


def lock_ref(connection: sa.Connection, repo_id: int, name: str) -> str | None:
    """Where a ref points, locked against other writers until the transaction ends; None if absent."""
    return connection.execute(
        sa.select(refs.c.oid).where(refs.c.repo_id == repo_id, refs.c.name == name).with_for_update()
    ).scalar()


def insert_ref(
    connection: sa.Connection, repo_id: int, name: str, oid: str, message: str | None = None
) -> None:
    """Create a ref; raises sqlalchemy IntegrityError if it exists."""
    connection.execute(sa.insert(refs).values(repo_id=repo_id, name=name, oid=oid, message=message))


def move_ref(connection: sa.Connection, repo_id: int, name: str, old: str, new: str) -> bool:
    """Compare-and-swap a ref; False if it was not at `old`."""
    result = connection.execute(
        sa.update(refs)
        .where(refs.c.repo_id == repo_id, refs.c.name == name, refs.c.oid == old)
        .values(oid=new)
    )
    return result.rowcount == 1


def delete_ref(connection: sa.Connection, repo_id: int, name: str) -> bool:
    """Remove a ref; False if there was none."""
    result = connection.execute(sa.delete(refs).where(refs.c.repo_id == repo_id, refs.c.name == name))
    return result.rowcount == 1


def first_ref_below(connection: sa.Connection, repo_id: int, prefix: str) -> str | None:
    """Some ref whose name starts with `prefix`, or None."""
    return connection.execute(
        sa.select(refs.c.name).where(
            refs.c.repo_id == repo_id, refs.c.name.startswith(prefix, autoescape=True)
        )
    ).scalar()
