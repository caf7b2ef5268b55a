"""Hubs that are about to suffer: each test has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.server import HubProcess


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub with people in it, not started yet."""
    process = HubProcess(tmp_path / "data")
    process.people()
    yield process
    process.stop()
