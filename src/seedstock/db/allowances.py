"""Queries about how much of each limit is used up.

On PostgreSQL the rows lie in the hub's database. SQLite has one writer at a time and every limited request writes, so
there they lie in a file of their own, which may be removed at any time: minutes start afresh, and days from the usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa

from seedstock.db.engine import Database
from seedstock.db.inserts import insert_new
from seedstock.db.schema import allowances

Key = tuple[str, str]
"""Subject and kind."""


class Allowance(msgspec.Struct, frozen=True):
    """As stored; `mark` and `spent` are 0 in a fresh one."""

    subject: str
    kind: str
    mark: int
    spent: int


_UPDATE = (
    sa.update(allowances)
    .where(allowances.c.subject == sa.bindparam("of"), allowances.c.kind == sa.bindparam("what"))
    .values(mark=sa.bindparam("to_mark"), spent=sa.bindparam("to_spent"))
)


def open_allowances(database: Database, folder: Path) -> Database:
    """Where the allowances of a hub are kept: its own database, or on SQLite a file beside it."""
    if not database.is_sqlite:
        return database
    # NORMAL: no waiting for the disk. A power cut may give back what was used in the last seconds; a kill does not.
    found = Database(f"sqlite:///{folder / 'limits.db'}", synchronous="NORMAL")
    with found.write() as connection:
        connection.execute(sa.schema.CreateTable(allowances, if_not_exists=True))
    return found


def lock_allowances(connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, Allowance]:
    """The rows of some limits, fresh ones included, for this transaction alone.

    PostgreSQL locks them in the order of their keys, so that no two requests wait for each other.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
    found = _select(connection, keys)
    missing = [key for key in sorted(keys) if key not in found]
    if missing:
        fresh = [{"subject": subject, "kind": kind, "mark": 0, "spent": 0} for subject, kind in missing]
        insert_new(connection, allowances, fresh)
        found = _select(connection, keys)
    return found


def _select(connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, Allowance]:
    query = (
        sa.select(allowances)
        .where(sa.tuple_(allowances.c.subject, allowances.c.kind).in_(sorted(keys)))
        .order_by(allowances.c.subject, allowances.c.kind)
        .with_for_update()
    )
    return {(row.subject, row.kind): Allowance(*row) for row in connection.execute(query)}


def read_allowances(connection: sa.Connection, subjects: Sequence[str]) -> dict[Key, Allowance]:
    """The rows of some subjects, to look at."""
    query = sa.select(allowances).where(allowances.c.subject.in_(sorted(subjects)))
    return {(row.subject, row.kind): Allowance(*row) for row in connection.execute(query)}


def write_allowances(connection: sa.Connection, rows: Sequence[Allowance]) -> None:
    """Set rows that were locked."""
    changed = [
        {"of": row.subject, "what": row.kind, "to_mark": row.mark, "to_spent": row.spent} for row in rows
    ]
    if changed:
        connection.execute(_UPDATE, changed)


def drop_allowances(connection: sa.Connection, kinds: Sequence[str], before: int) -> None:
    """Forget rows of some kinds that say nothing any more."""
    key = (allowances.c.subject, allowances.c.kind)
    stale = (
        sa.select(*key)
        .where(allowances.c.kind.in_(list(kinds)), allowances.c.mark < before)
        .with_for_update(skip_locked=True)  # one that is in use just now is not stale for long
    )
    connection.execute(sa.delete(allowances).where(sa.tuple_(*key).in_(stale)))
