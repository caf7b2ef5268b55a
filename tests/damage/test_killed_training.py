"""Training whose processes and database fail in turn: it goes on from its checkpoint to the same weights.

Nothing that was shown is lost, nothing is published by halves, and no process is left over.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from seedstock.core.names import RepoId, RepoType
from seedstock.settings import load
from seedstock.wiring import open_hub
from tests.contract.server import HubProcess
from tests.damage.conftest import settle
from tests.damage.garden import ROWS, SPEC, Follower, Garden, kill, parent, until
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations
from tests.unit.jobs.conftest import is_alive
from tests.unit.variants.conftest import Context, Nursery

pytestmark = [pytest.mark.skipif("sys.platform != 'linux'"), pytest.mark.xdist_group("training")]
NAME = "ada/disturbed"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the weights that the same run makes when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("calm")
    write_model(folder / "base")
    hub = open_hub(load({}, data=folder))
    try:
        nursery = Nursery(hub)
        nursery.publish_folder("ada/base", folder / "base")
        nursery.publish_rows("ada/rows", conversations(ROWS))
        assert hub.variants.run(Context(folder / "state"), nursery.job("ada", SPEC | {"publish": NAME}))
        ada, name = nursery.people["ada"], RepoId(RepoType.MODEL, "ada", "disturbed")
        digest = hub.reading.file(ada, name, "main/adapter_model.safetensors").entry.digest
        assert digest is not None
        return digest
    finally:
        hub.close()


def test_a_run_outlives_its_trainer_its_worker_and_its_server(
    victim: HubProcess, tmp_path: Path, calm: str
) -> None:
    victim.expected = [r"database"]
    victim.start()
    garden = Garden(victim, tmp_path)
    number = garden.start(publish=NAME)
    follower = Follower(garden, number)
    step = garden.checkpoint(number)
    first = garden.trainer(number)
    kill(first)
    second = garden.trainer(number, but=first)
    garden.shown_to_go_on(number, 1)

    step = garden.checkpoint(number, step)
    child = parent(second)
    kill(parent(child))
    until(lambda: not is_alive(second) and not is_alive(child))
    assert garden.job(number)["state"] == "running", "nobody knows yet"
    _let_lease_end(victim, number)
    third = garden.trainer(number, but=second)
    garden.shown_to_go_on(number, 2)

    step = garden.checkpoint(number, step)
    _lock(victim, seconds=1.5)
    assert is_alive(third), "a database that is away for a while disturbs no training"
    assert not garden.exists(NAME)
    victim.kill()
    until(lambda: not is_alive(third))
    victim.start()

    ended = garden.wait(number)
    assert (ended["state"], ended["attempts"]) == ("done", 3), ended
    went_on = garden.resumptions(number)
    assert len(went_on) == 3
    assert 0 < went_on[0] < went_on[1] < went_on[2]
    assert went_on[2] >= step
    assert garden.weights(NAME) == calm
    assert follower.finish() == garden.said(number)
    assert follower.breaks
    assert not garden.left_over()
    assert not (victim.data / "jobs" / str(number)).exists()
    assert not victim.failures()


@pytest.mark.system("postgresql")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_run_outlives_its_sandbox_and_every_connection_to_postgresql(
    database_url: str, tmp_path: Path, calm: str
) -> None:
    hub = HubProcess(tmp_path / "data", SEEDSTOCK_DATABASE_URL=database_url)
    hub.expected = [r"database|terminat|OperationalError|StoreUnreachable|Traceback"]
    settle(hub, database_url)
    hub.start()
    try:
        garden = Garden(hub, tmp_path)
        number = garden.start(publish=NAME)
        follower = Follower(garden, number)
        step = garden.checkpoint(number)
        first = garden.trainer(number)
        kill(parent(first))
        until(lambda: not is_alive(first))
        second = garden.trainer(number, but=first)
        step = garden.checkpoint(number, step)
        for _ in range(3):
            _terminate_backends(database_url)
            time.sleep(0.3)
        assert is_alive(second)
        assert not garden.exists(NAME)
        ended = garden.wait(number)
        assert (ended["state"], ended["attempts"]) == ("done", 2), ended
        assert len(garden.resumptions(number)) == 1
        assert garden.weights(NAME) == calm
        assert follower.finish() == garden.said(number)
        assert not garden.left_over()
        assert not (hub.data / "jobs" / str(number)).exists()
    finally:
        hub.stop()


def _let_lease_end(hub: HubProcess, number: int) -> None:
    """Let the half minute pass in which a worker might still have come back."""
    with sqlite3.connect(hub.data / "seedstock.db") as connection:
        done = connection.execute(
            "UPDATE jobs SET lease_expires_at = 1 WHERE id = ? AND lease_expires_at > 1", (number,)
        )
        assert done.rowcount == 1


def _lock(hub: HubProcess, seconds: float) -> None:
    """Keep everybody from writing: heartbeats and events wait."""
    with sqlite3.connect(hub.data / "seedstock.db", isolation_level=None, timeout=20) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def _terminate_backends(url: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()
