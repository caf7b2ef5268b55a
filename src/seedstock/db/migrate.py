"""Brings a database to the newest schema, or refuses one that is newer than this program.

Each step runs in one transaction on SQLite and PostgreSQL alike (both have transactional DDL), so a
killed migration leaves the database as it was before that step.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from seedstock.core.errors import Unavailable
from seedstock.db.engine import Database

HEAD = "0009"
"""Revision of the newest migration; `tests/migrations` holds it equal to the versions folder."""

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x5EED570C


def current_revision(database: Database) -> str | None:
    """The schema revision of the database, or None for an empty one."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(database: Database) -> None:
    """Apply every missing migration; safe to call from several processes at once.

    Raises Unavailable when the database was written by a newer version of the program.
    """
    if current_revision(database) == HEAD:
        return
    # Imported here: alembic costs a fifth of a second that an up-to-date start need not pay.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(MIGRATIONS))
    known = {step.revision for step in script.walk_revisions()}
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        context = MigrationContext.configure(
            connection, opts={"transactional_ddl": True, "render_as_batch": True}
        )
        at = context.get_current_revision()
        if at is not None and at not in known:
            raise Unavailable(
                f"The database has schema {at}, which this version does not know",
                hint="start the newer version of Seedstock that wrote it",
            )
        context._ensure_version_table()  # noqa: SLF001 - the public entry runs an env.py we do not need
        with Operations.context(context):
            for step in reversed(list(script.iterate_revisions("head", at or "base"))):
                step.module.upgrade()
                _record(connection, step.revision)


def _record(connection: sa.Connection, revision: str) -> None:
    connection.execute(sa.text("DELETE FROM alembic_version"))
    connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES (:r)"), {"r": revision})
