"""Stored objects: durable placement, trust, and damage that is never served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.content.objects import StoredObjects
from seedstock.core.clock import now_ms
from seedstock.core.errors import CorruptBlock, Integrity, MissingBlob, StoreUnreachable
from seedstock.db.engine import Database
from seedstock.store.checks import BLOCK_BYTES, CheckWriter
from seedstock.store.local import LocalObjects
from seedstock.store.port import ObjectStore
from seedstock.store.remote import RemoteObjects
from seedstock.store.staging import Staging

KEY = "files/ab/cd/abcd"
SIZE = 3 * BLOCK_BYTES + 12345


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return LocalObjects(tmp_path / "store") if request.param == "local" else RemoteObjects("memory:///")


@pytest.fixture
def content() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def objects(database: Database, store: ObjectStore, tmp_path: Path, content: bytes) -> StoredObjects:
    objects = StoredObjects(database, store, now_ms)
    with Staging(tmp_path / "in").open() as staged:
        staged.write(content)
        staged.finish()
        objects.adopt(KEY, staged)
    return objects


@pytest.mark.parametrize(
    ("start", "stop"), [(0, SIZE), (0, 1), (5, 5), (BLOCK_BYTES - 1, BLOCK_BYTES + 1), (SIZE - 1, SIZE)]
)
def test_ranges_come_back(objects: StoredObjects, content: bytes, start: int, stop: int) -> None:
    assert objects.read(objects.get(KEY), start, stop) == content[start:stop]


def test_staged_files_vanish_unless_adopted(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    with staging.open() as staged:
        staged.write(b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [0, BLOCK_BYTES, SIZE - 1])
def test_a_flipped_byte_is_never_served(database: Database, tmp_path: Path, content: bytes, at: int) -> None:
    store = LocalObjects(tmp_path / "store")
    objects = StoredObjects(database, store, now_ms)
    with Staging(tmp_path / "in").open() as staged:
        staged.write(content)
        staged.finish()
        objects.adopt(KEY, staged)
    row = objects.get(KEY)
    assert objects.trusted_path(row) is not None
    path = store.local_path(KEY)
    assert path is not None
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    assert objects.trusted_path(row) is None
    served = bytearray()
    with pytest.raises(CorruptBlock):
        for piece in objects.iter_range(row, 0, SIZE):
            served += piece
    assert content.startswith(bytes(served))
    with pytest.raises(CorruptBlock):
        objects.verify(row)


def test_truncation_and_loss_are_found(database: Database, tmp_path: Path, content: bytes) -> None:
    store = LocalObjects(tmp_path / "store")
    objects = StoredObjects(database, store, now_ms)
    with Staging(tmp_path / "in").open() as staged:
        staged.write(content)
        staged.finish()
        objects.adopt(KEY, staged)
    row = objects.get(KEY)
    path = store.local_path(KEY)
    assert path is not None
    os.truncate(path, SIZE - 1)
    with pytest.raises(Integrity):
        objects.read(row, 0, SIZE)
    path.unlink()
    with pytest.raises(MissingBlob):
        objects.read(row, 0, 1)


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    with Staging(tmp_path).open() as staged:
        staged._file.close()
        staged._file = open("/dev/full", "wb", buffering=0)
        with pytest.raises(StoreUnreachable, match="No space left"):
            staged.write(b"x")


@given(st.lists(st.binary(max_size=3000), max_size=20), st.integers(1, 5000))
def test_checks_do_not_depend_on_how_bytes_come(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    one, many = CheckWriter(), CheckWriter()
    one.update(whole)
    for at in range(0, len(whole), size):
        many.update(whole[at : at + size])
    assert one.finish() == many.finish()
