"""The folder of sketches is a cache: whatever a crash leaves in it, the next search is right."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from seedstock.core.errors import StoreUnreachable
from seedstock.db.engine import Database
from seedstock.db.schema import weight_sets
from seedstock.db.weights import WeightSetRow, put_weight_set
from seedstock.lineage.sketches import Sketches
from seedstock.weights.search import SketchIndex
from seedstock.weights.signature import METHOD
from tests.factories.signatures import random_signature

COUNT = 3


@pytest.fixture
def sketches(database: Database, tmp_path: Path) -> Sketches:
    add(database, range(COUNT))
    return Sketches(database, tmp_path / "index")


def add(database: Database, numbers: range) -> None:
    with database.write() as connection:
        for number in numbers:
            signature = random_signature(number)
            row = WeightSetRow(f"{number:064x}", "model", METHOD, None, msgspec.msgpack.encode(signature))
            put_weight_set(connection, row, signature.sketches, 1)


def keys(tmp_path: Path) -> list[str]:
    index = SketchIndex(tmp_path / "index" / METHOD)
    return [index.key(at) for at in range(len(index))]


def found(sketches: Sketches, number: int) -> list[str]:
    return [key for key, _ in sketches.near(random_signature(number), 5)]


def test_a_crash_before_the_mark_leaves_nothing_twice(
    database: Database, sketches: Sketches, tmp_path: Path
) -> None:
    assert found(sketches, 1) == [f"{1:064x}"]
    before = (tmp_path / "index" / "level.json").read_bytes()
    add(database, range(COUNT, COUNT + 2))
    assert found(sketches, 4) == [f"{4:064x}"]
    (tmp_path / "index" / "level.json").write_bytes(before)  # as if killed just before the new mark
    assert found(sketches, 4) == [f"{4:064x}"]
    assert sorted(keys(tmp_path)) == [f"{number:064x}" for number in range(COUNT + 2)]


@pytest.mark.parametrize("mark", [b"", b"{", b'{"id": 1', b"[]", b'{"id": "x"}'])
def test_a_mark_that_was_cut_off_is_made_anew(sketches: Sketches, tmp_path: Path, mark: bytes) -> None:
    assert found(sketches, 0) == [f"{0:064x}"]
    (tmp_path / "index" / "level.json").write_bytes(mark)
    assert found(sketches, 2) == [f"{2:064x}"]
    assert sorted(keys(tmp_path)) == [f"{number:064x}" for number in range(COUNT)]


def test_an_index_whose_files_were_lost_is_made_anew(sketches: Sketches, tmp_path: Path) -> None:
    assert found(sketches, 0) == [f"{0:064x}"]
    for path in (tmp_path / "index" / METHOD).iterdir():
        path.unlink()
    assert found(sketches, 2) == [f"{2:064x}"]


def test_a_full_disk_is_an_error_and_no_signal(
    sketches: Sketches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole in a mapped file that cannot be filled would end the server with SIGBUS."""

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreUnreachable, match="No space left"):
        found(sketches, 0)
    monkeypatch.undo()
    assert found(sketches, 0) == [f"{0:064x}"]
    assert sorted(keys(tmp_path)) == [f"{number:064x}" for number in range(COUNT)]


def test_weights_that_are_signed_anew_are_found_in_any_order(database: Database, sketches: Sketches) -> None:
    """After a change of the method, analyses sign old weights again, the last ones perhaps first."""
    with database.write() as connection:
        connection.execute(sa.update(weight_sets).values(method="older@1"))
    assert found(sketches, 0) == []
    for number in (2, 0, 1):
        add(database, range(number, number + 1))
        assert found(sketches, number) == [f"{number:064x}"]
    add(database, range(COUNT, COUNT + 1))
    assert found(sketches, COUNT) == [f"{COUNT:064x}"]
