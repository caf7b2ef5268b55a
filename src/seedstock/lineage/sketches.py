"""The index of signatures in a folder of this machine, kept level with the database.

The database is the truth; the folder is a cache that any process of the hub brings up to date before it searches.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seedstock.core.errors import StoreUnreachable
from seedstock.db import weights as rows
from seedstock.db.engine import Database

if TYPE_CHECKING:
    from seedstock.weights.search import SketchIndex
    from seedstock.weights.signature import Signature

_BATCH = 2_000


class _Level(msgspec.Struct, frozen=True):
    """The newest weights that the index holds, by their number and digest in the database, and how many it holds."""

    id: int = 0
    digest: str = ""
    count: int = 0


class Sketches:
    """Finds weights by their signatures."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def near(self, signature: Signature, limit: int) -> list[tuple[str, float]]:
        """Digests of weights with a like signature, and their mean distance in bits, nearest first."""
        try:
            with self._lock():
                index = self._level()
                return [(near.key, near.distance_bits) for near in index.near(signature, limit)]
        except OSError as error:
            raise StoreUnreachable(
                f"The index of weights cannot be used: {error.strerror}", hint="check the data folder's disk"
            ) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _level(self) -> SketchIndex:
        from seedstock.weights.search import SketchIndex
        from seedstock.weights.signature import METHOD, Signature

        mark = self._folder / "level.json"
        level = _read_mark(mark)
        with self._database.read() as connection:
            if level.id and not rows.is_weight_set(connection, level.id, level.digest, METHOD):
                level = _Level()  # another database, such as a restored one, or another method
        index = SketchIndex(self._folder / METHOD)
        if not level.id or len(index) != level.count:  # or a crash came between the index and its mark
            level = _Level()
            for path in (self._folder / METHOD).glob("*"):
                path.unlink()
            index = SketchIndex(self._folder / METHOD)
        while True:
            with self._database.read() as connection:
                batch = rows.sketches_after(connection, METHOD, level.id, _BATCH)
            if not batch:
                return index
            index.extend([(digest, msgspec.msgpack.decode(raw, type=Signature)) for _, digest, raw in batch])
            level = _Level(batch[-1][0], batch[-1][1], len(index))
            whole = mark.with_suffix(".new")
            whole.write_bytes(msgspec.json.encode(level))
            whole.replace(mark)


def _read_mark(path: Path) -> _Level:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Level)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Level()
