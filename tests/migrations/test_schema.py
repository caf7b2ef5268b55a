"""Migrations make the schema that the code declares, on both databases, and survive being killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
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
