"""Migrations make the schema that the code declares, on both databases, and survive being killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from seedstock.core.errors import Unavailable
from seedstock.db import migrate, schema
from seedstock.db.engine import Database, default_url


def test_migrations_end_at_the_declared_schema(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_current_head() == migrate.HEAD


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    migrate.upgrade(database)
    assert migrate.current_revision(database) == migrate.HEAD


def test_a_newer_schema_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="9999"):
        migrate.upgrade(database)


_KILLED = """
import os, signal, sys
import sqlalchemy as sa
from seedstock.db import migrate
from seedstock.db.engine import Database

database = Database(sys.argv[1])
made = 0
@sa.event.listens_for(database.engine, "after_cursor_execute")
def count(connection, cursor, statement, *rest):
    global made
    made += statement.lstrip().startswith("CREATE TABLE")
    if made == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
migrate.upgrade(database)
"""


@pytest.mark.parametrize("tables", [1, 5, 15])
def test_a_killed_migration_leaves_the_database_as_it_was(tmp_path: Path, tables: int) -> None:
    url = default_url(tmp_path)
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, url, str(tables)],
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    database = Database(url)
    assert migrate.current_revision(database) is None
    migrate.upgrade(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.close()


@pytest.fixture
def empty_database(database: Database, tmp_path: Path) -> Iterator[Database]:
    """Without any table, of either kind."""
    if not database.is_sqlite:
        with database.write() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        yield database
        return
    (tmp_path / "empty").mkdir()
    empty = Database(default_url(tmp_path / "empty"))
    yield empty
    empty.close()


def _upgrade_to(database: Database, revision: str) -> None:
    """The schema of an older version of the program."""
    script = ScriptDirectory(str(migrate.MIGRATIONS))
    with database.write() as connection:
        context = MigrationContext.configure(
            connection, opts={"transactional_ddl": True, "render_as_batch": True}
        )
        context._ensure_version_table()
        with Operations.context(context):
            for step in reversed(list(script.iterate_revisions(revision, "base"))):
                step.module.upgrade()
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:r)"), {"r": revision})


def test_results_outlive_the_migration_that_knows_remotes(empty_database: Database) -> None:
    database = empty_database
    _upgrade_to(database, "0008")
    with database.write() as connection:
        tables = sa.MetaData()
        tables.reflect(connection, only=["accounts", "repos", "evaluations"])
        for name, number in (("accounts", 1), ("repos", 1), ("evaluations", 1), ("evaluations", 2)):
            _insert(connection, tables.tables[name], number)
        connection.execute(sa.delete(tables.tables["evaluations"]).where(sa.text("id = 2")))
    migrate.upgrade(database)
    with database.write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        (row,) = connection.execute(sa.select(schema.evaluations)).all()
        assert (row.id, row.repo_id, row.remote_id, row.closed) == (1, 1, None, None)
        values = {column.name: getattr(row, column.name) for column in schema.evaluations.c}
        values |= {"job_id": 3, "repo_id": None, "commit": None}
        del values["id"]
        added = connection.execute(sa.insert(schema.evaluations).values(values)).inserted_primary_key
        assert added == (3,), "a number that was deleted is not given again"
        connection.execute(sa.delete(schema.repos))
        assert connection.execute(sa.select(schema.evaluations.c.id)).scalars().all() == [3]


def _insert(connection: sa.Connection, table: sa.Table, number: int) -> None:
    """A row with something in every column that wants it."""
    values: dict[str, object] = {}
    for column in table.c:
        if column.nullable or column.name == "id" or column.server_default is not None:
            continue
        kind = column.type.python_type
        known = {str: f"t{number}", dict: {}, object: {}}
        values[column.name] = 1 if column.foreign_keys else known[kind] if kind in known else kind(number)
    connection.execute(sa.insert(table).values(values))
