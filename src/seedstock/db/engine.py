"""Opens the database and hands out transactions.

One `Database` serves SQLite (WAL, one writer at a time) and PostgreSQL through the same Core statements.
Reads take `read()`, writes take `write()`: on SQLite a write begins IMMEDIATE, so that two writers queue
at BEGIN instead of failing at COMMIT with a snapshot that has gone stale.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from seedstock.core.errors import Invalid, StoreUnreachable, Unavailable

BUSY_TIMEOUT_MS = 20_000


class Database:
    """A pool of connections to one database."""

    def __init__(self, url: str, *, synchronous: str = "FULL") -> None:
        """`synchronous` is SQLite's pragma: FULL has a commit on disk before it is acknowledged."""
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        try:
            self.engine = _open_engine(url, synchronous)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
            raise Invalid(
                "The database URL cannot be read", hint="it is like postgresql://user@host/name"
            ) from None
        except ModuleNotFoundError as error:
            hint = (
                "pip install 'seedstock[postgres]'" if error.name == "psycopg" else "use PostgreSQL or SQLite"
            )
            raise Unavailable(f"The database driver {error.name} is not installed", hint=hint) from None
        self._write_engine = self.engine.execution_options(seedstock_write=True)
        self._watch = _open_watch(self.engine) if self.is_sqlite else None
        self._watch_lock = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reading; whatever it did is rolled back at the end."""
        with self._connect(self.engine) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        with self._connect(self._write_engine) as connection, connection.begin():
            yield connection

    def stamp(self) -> int | None:
        """A number that changes with every commit, by whichever process; None where that cannot be had cheaply.

        SQLite counts the commits of other connections; this connection never commits. It takes 4 µs.
        """
        if self._watch is None:
            return None
        with self._watch_lock:
            stamp: int = self._watch.execute("PRAGMA data_version").fetchone()[0]
        return stamp

    @contextmanager
    def _connect(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            connection = engine.connect()
        except sa.exc.DatabaseError as error:
            raise StoreUnreachable(
                f"The database does not answer: {_first_line(error)}",
                hint="check the database URL and server",
            ) from error
        with connection:
            try:
                yield connection
            except sa.exc.OperationalError as error:
                if _is_our_mistake(error):
                    raise
                raise StoreUnreachable(
                    f"The database failed: {_first_line(error)}", hint="check its disk space and server"
                ) from error
            except (sa.exc.DataError, UnicodeEncodeError) as error:
                # NUL in text, half a surrogate pair, a number out of range: PostgreSQL says so, and we pass it on.
                cause = getattr(error, "orig", error)
                raise Invalid(f"A value cannot be stored: {_first_line(cause)}") from error

    def close(self) -> None:
        """Close every connection."""
        if self._watch is not None:
            self._watch.close()
        self.engine.dispose()


def _open_watch(engine: sa.Engine) -> sqlite3.Connection | None:
    """A connection of its own that only looks; none for a database in memory, which has one connection."""
    path = engine.url.database
    if not path or path == ":memory:":
        return None
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    return connection


def default_url(data_dir: Path) -> str:
    """URL of the embedded database of a data folder."""
    return f"sqlite:///{data_dir / 'seedstock.db'}"


def normalise_url(url: str) -> str:
    """Name our PostgreSQL driver in the URLs that people paste."""
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _open_engine(url: str, synchronous: str) -> sa.Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=16, max_overflow=32, pool_pre_ping=True)
    memory = url in {"sqlite://", "sqlite:///:memory:"}
    engine = sa.create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        poolclass=sa.StaticPool if memory else sa.QueuePool,
        **({} if memory else {"pool_size": 16, "max_overflow": 64}),
    )
    sa.event.listen(engine, "connect", lambda connection, _: _configure_sqlite(connection, synchronous))
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, synchronous: str) -> None:
    # The driver's own BEGIN is deferred and comes late; ours is issued by _begin_sqlite instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: a commit is on disk before it is acknowledged, also through a power cut.
    cursor.execute(f"PRAGMA synchronous={synchronous}")
    cursor.execute("PRAGMA foreign_keys=ON")
    # Each of up to 80 connections has a cache of its own (KiB); what they share is mapped.
    cursor.execute("PRAGMA cache_size=-8192")
    cursor.execute("PRAGMA mmap_size=67108864")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("seedstock_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _is_our_mistake(error: sa.exc.OperationalError) -> bool:
    """Whether SQLite calls wrong SQL an operational error; a full disk, a lock or a lost server is none."""
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200]
