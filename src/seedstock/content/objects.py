"""Stored objects and the trust put in them.

Check of a read: `trusted-cache`. An object whose stat signature is the one recorded when it was last
verified whole is sent as it lies; any other is verified block by block as it is read, and a damaged block
ends the read before it is sent. `verify` ignores all trust; the audit uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedstock.core.clock import Clock
from seedstock.core.errors import CorruptBlock, MissingBlob
from seedstock.db import files as rows
from seedstock.db.engine import Database
from seedstock.db.files import ObjectRow
from seedstock.store.checks import block_spans, verify_block
from seedstock.store.port import ObjectStore
from seedstock.store.staging import StagedFile


@dataclass(frozen=True)
class TrustedFile:
    """A local file as it was when it was last verified whole."""

    store: ObjectStore
    key: str
    recorded_path: Path
    signature: str

    @property
    def path(self) -> Path | None:
        """The file while it is untouched: one look at its times, no reading. None afterwards."""
        return self.recorded_path if self.store.signature(self.key) == self.signature else None


class StoredObjects:
    """Objects of the store together with their checks in the database."""

    def __init__(self, database: Database, store: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def adopt(self, key: str, staged: StagedFile) -> None:
        """Make a finished staged file an object. When this returns its bytes are durable and recorded."""
        self._store.put(key, staged.path)
        with self._database.write() as connection:
            # Read inside: of two clients that store the same object at once, the later one is recorded.
            signature = self._store.signature(key)
            rows.upsert_object(connection, key, staged.size_bytes, staged.checks, signature, self._clock())

    def get(self, key: str) -> ObjectRow:
        """The record of an object. Raises MissingBlob."""
        with self._database.read() as connection:
            row = rows.find_object(connection, key)
        if row is None:
            raise MissingBlob(
                f"Stored object {key} is not recorded", hint="restore the database from a backup"
            )
        return row

    def trusted_path(self, row: ObjectRow) -> Path | None:
        """The object as a local file that may be sent unread; None if it must be verified or is remote."""
        path = self._store.local_path(row.key)
        if path is None or row.stat_signature is None:
            return None
        return path if self._store.signature(row.key) == row.stat_signature else None

    def intact_keys(self, keys: Sequence[str]) -> set[str]:
        """Those of the objects that are there and untouched since they were last verified whole."""
        with self._database.read() as connection:
            found = rows.find_signatures(connection, keys)
        return {key for key, signature in found.items() if self._store.signature(key) == signature}

    def trust(self, key: str) -> TrustedFile | None:
        """The object as a local file that may be sent unread for as long as it is untouched; None if there is none."""
        path = self._store.local_path(key)
        if path is None:
            return None
        with self._database.read() as connection:
            signature = rows.find_signatures(connection, [key]).get(key)
        return None if signature is None else TrustedFile(self._store, key, path, signature)

    def read_raw(self, key: str, start: int, stop: int) -> bytes:
        """Stored bytes [start, stop) unverified, for formats that carry their own hashes."""
        return self._store.read(key, start, stop)

    @property
    def are_local(self) -> bool:
        """Whether objects are files of this machine, whose signatures cost nothing to compare."""
        return self._store.local_path("") is not None

    def iter_range(self, row: ObjectRow, start: int, stop: int) -> Iterator[bytes]:
        """Yield stored bytes [start, stop), at most a MiB at a time, each verified before it is yielded.

        Raises CorruptBlock or MissingBlob; nothing after the damage is yielded.
        """
        trusted = self.trusted_path(row) is not None
        for number, first, end in block_spans(row.size_bytes, start, stop):
            left, right = max(start, first), min(stop, end)
            if trusted:
                yield self._store.read(row.key, left, right)
                continue
            block = self._store.read(row.key, first, end)
            verify_block(row.checks, number, block, row.key)
            yield block if (left, right) == (first, end) else block[left - first : right - first]

    def read(self, row: ObjectRow, start: int, stop: int) -> bytes:
        """Stored bytes [start, stop) in one piece, verified like `iter_range`."""
        return b"".join(self.iter_range(row, start, stop))

    def page(self, after_key: str, limit: int) -> list[ObjectRow]:
        """Some objects in key order, for the audit."""
        with self._database.read() as connection:
            return rows.objects_by_key(connection, limit, after_key)

    def distrust(self, key: str) -> None:
        """Record that an object was read and found damaged: it is not sent unread, nor relied on, any more."""
        with self._database.write() as connection:
            rows.mark_verified(connection, key, None, self._clock())

    def verify(self, row: ObjectRow) -> None:
        """Read the whole object and record whether it is right. Raises CorruptBlock or MissingBlob."""
        signature = self._store.signature(row.key)
        try:
            for number, first, end in block_spans(row.size_bytes, 0, row.size_bytes):
                verify_block(row.checks, number, self._store.read(row.key, first, end), row.key)
            if signature is None or not signature.startswith(f"{row.size_bytes}-"):
                raise CorruptBlock(f"Stored object {row.key} has grown", hint="restore it from a backup")
        except (CorruptBlock, MissingBlob):
            signature = None
            raise
        finally:
            with self._database.write() as connection:
                rows.mark_verified(connection, row.key, signature, self._clock())
