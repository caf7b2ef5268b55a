"""Hubs that are about to suffer: each test has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from seedstock.accounts.service import Accounts
from seedstock.core.clock import now_ms
from seedstock.core.viewer import TokenRole
from seedstock.places import open_database
from seedstock.settings import load
from tests.contract.server import HubProcess


def settle(process: HubProcess, database_url: str | None = None) -> None:
    """Add ada and her token, without the seconds that commands take to start."""
    database = open_database(load({}, data=process.data, database_url=database_url))
    accounts = Accounts(database, now_ms)
    accounts.create_user("ada")
    process.tokens["ada"] = accounts.create_token("ada", role=TokenRole.WRITE, name="laptop")
    database.close()


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub with people in it, not started yet."""
    process = HubProcess(tmp_path / "data")
    settle(process)
    yield process
    process.stop()
