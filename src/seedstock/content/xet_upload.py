"""Receiving a xorb: verified while it arrives, stored without its footer."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import sqlalchemy as sa
import sqlalchemy.exc

from seedstock.content.objects import StoredObjects
from seedstock.content.xet_index import XorbIndexes
from seedstock.core.clock import Clock
from seedstock.core.errors import Invalid
from seedstock.db import xet as rows
from seedstock.db.engine import Database
from seedstock.db.xet import XorbRow, XorbScope
from seedstock.store.staging import StagedFile, Staging
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.xorb import XorbReader
from seedstock.xet.xorb_index import XorbIndex

T = TypeVar("T")


class XorbStore:
    """The xorbs of the hub."""

    def __init__(
        self, database: Database, objects: StoredObjects, staging: Staging, indexes: XorbIndexes, clock: Clock
    ) -> None:
        self.indexes = indexes
        self._database = database
        self._objects = objects
        self._staging = staging
        self._clock = clock

    def receive(self, scope: XorbScope, xorb_hash: bytes) -> XorbUpload:
        """Begin to receive a xorb of that raw hash for the repo of the scope."""
        return XorbUpload(self, self._staging.open(hash_whole=False), scope, xorb_hash)

    def holds(self, scope: XorbScope, xorb_hash: bytes) -> bool:
        """Whether the scope may use the xorb and its bytes are untouched, so that none need be sent."""
        text = hash_to_text(xorb_hash)
        with self._database.read() as connection:
            key = rows.visible_xorbs(connection, scope, [text]).get(text)
        return key is not None and key in self._objects.intact_keys([key])

    def add(self, scope: XorbScope, xorb_hash: bytes, index: XorbIndex, staged: StagedFile) -> bool:
        """Take a verified xorb in; returns whether it was unknown. Its repo may use it from now on.

        One that is known is stored again, which heals a damaged copy; but other bytes of the same chunks
        (compressed differently) never replace sound ones, because readers may be under way in those.
        """
        text = hash_to_text(xorb_hash)
        self.indexes.forget(xorb_hash)
        known = self.indexes.find(xorb_hash)
        key = known.object_key if known else f"xorbs/{text[:2]}/{text[2:4]}/{text}"
        replaces = known is None or known.index == index or not self._objects.intact_keys([key])
        if replaces:
            self._objects.adopt(key, staged)
        else:
            index = known.index if known else index
        row = XorbRow(text, key, index.encode(), self._clock())
        inserted = self._record(row, staged.size_bytes if replaces else index.stored_bytes, scope)
        self.indexes.forget(xorb_hash)
        return inserted

    def _record(self, row: XorbRow, size_bytes: int, scope: XorbScope) -> bool:
        def work(connection: sa.Connection) -> bool:
            inserted = rows.put_xorb(connection, row, size_bytes)
            rows.add_scopes(connection, scope.repo_id, [row.hash])
            return inserted

        return write_twice(self._database, work)


def write_twice(database: Database, work: Callable[[sa.Connection], T]) -> T:
    """Do work in a transaction, once more if another client recorded the same at the same time.

    Raises Invalid if it fails again: then the repo itself has been deleted.
    """
    try:
        with database.write() as connection:
            return work(connection)
    except sqlalchemy.exc.IntegrityError:
        pass
    try:
        with database.write() as connection:
            return work(connection)
    except sqlalchemy.exc.IntegrityError:
        raise Invalid("The repository of this upload is gone") from None


class XorbUpload:
    """A xorb on its way in. Use as a context manager: unless `finish` returned, nothing stays."""

    def __init__(self, store: XorbStore, staged: StagedFile, scope: XorbScope, xorb_hash: bytes) -> None:
        self._store = store
        self._staged = staged
        self._scope = scope
        self._hash = xorb_hash
        self._reader = XorbReader()
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises BadUpload, TooLarge or StoreUnreachable as soon as it is known."""
        self._reader.feed(piece)
        # Only whole records are kept: what follows the last one may turn out to be a footer.
        whole = self._reader.stored_bytes - self._staged.size_bytes
        if whole < len(self._tail):
            self._tail += piece
            return
        cut = whole - len(self._tail)
        self._staged.write(self._tail)
        self._staged.write(memoryview(piece)[:cut])
        self._tail = piece[cut:]

    def finish(self) -> bool:
        """Store the xorb if it is what was announced; returns whether it was unknown. Raises BadUpload."""
        index = self._reader.finish(self._hash)
        self._staged.finish()
        return self._store.add(self._scope, self._hash, index, self._staged)

    def __enter__(self) -> XorbUpload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staged.__exit__(kind, error, trace)
