"""Fixtures that every test may use: databases of both kinds, a hub in memory, and what the system offers."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from seedstock.db import migrate
from seedstock.db.engine import Database, default_url
from seedstock.settings import Settings
from seedstock.wiring import Hub, open_hub
from tests import postgres

# For stock clients that tests use in their own process; they read this when imported. What is remembered of
# one hub's address must not reach the next hub that gets the same port.
os.environ |= {
    "HF_HOME": tempfile.mkdtemp(prefix="seedstock-hf-"),
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    # Small matrices: on a busy machine, threads waiting for each other made the comparisons 7 times slower.
    "OPENBLAS_NUM_THREADS": "1",
}
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

# A shell's background jobs ignore interrupts, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and no verdict by the clock of a busy machine; HYPOTHESIS_PROFILE=deep looks further.
hypothesis.settings.register_profile(
    "quick", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_PROGRAMS: dict[str, Callable[[], object]] = {
    "postgresql": postgres.find_binaries,
    "chromium": lambda: shutil.which("chromium"),
    "nginx": lambda: (
        shutil.which("nginx") or (Path("/usr/sbin/nginx") if Path("/usr/sbin/nginx").exists() else None)
    ),
    "git": lambda: shutil.which("git"),
    "git-lfs": lambda: shutil.which("git-lfs"),
}


def need(program: str) -> None:
    """Skip the test, naming the program, unless it is there; fail instead where everything must be."""
    if not _PROGRAMS[program]():
        message = f"needs {program} from the system's packages"
        if os.environ.get("SEEDSTOCK_REQUIRE_SYSTEM"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: while a browser is open its event loop runs in this thread, and no other may."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.fixture(autouse=True)
def _system_programs(request: pytest.FixtureRequest) -> None:
    for mark in request.node.iter_markers("system"):
        need(mark.args[0])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL with a migrated database `template_hub` to copy."""
    need("postgresql")
    binaries = postgres.find_binaries()
    assert binaries is not None
    # Not below pytest's folder, which only the present user may enter.
    folder = Path(tempfile.mkdtemp(prefix="seedstock-pg-"))
    try:
        with postgres.running(binaries, folder) as url:
            _administer(url, "CREATE DATABASE template_hub")
            database = Database(url.rpartition("/")[0] + "/template_hub")
            migrate.upgrade(database)
            database.close()
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _administer(url: str, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database: every test that uses it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        url = default_url(tmp_path)
        database = Database(url)
        migrate.upgrade(database)
        database.close()
        yield url
        return
    admin: str = request.getfixturevalue("postgres_url")
    name = f"test_{next(_numbers)}"
    _administer(admin, f"CREATE DATABASE {name} TEMPLATE template_hub")
    yield admin.rpartition("/")[0] + f"/{name}"
    _administer(admin, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database opened."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def hub(database_url: str, tmp_path: Path) -> Iterator[Hub]:
    """All services over a database of each kind and a local store."""
    hub = open_hub(
        Settings(data_dir=tmp_path, database_url=database_url, store_url=f"file:{tmp_path / 'store'}")
    )
    yield hub
    hub.close()
