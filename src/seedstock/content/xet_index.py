"""Indexes of stored xorbs, remembered: reads of many small ranges ask for the same few again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from threading import Lock

import msgspec

from seedstock.core.errors import MissingBlob
from seedstock.db import xet as rows
from seedstock.db.engine import Database
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.shard import XorbLookup
from seedstock.xet.xorb_index import XorbIndex

_CAPACITY = 192
_AHEAD = 32
"""Xorbs looked up in one query; a xorb is about 64 MiB of the file."""


class StoredXorb(msgspec.Struct, frozen=True):
    """Where a xorb lies and what it holds."""

    object_key: str
    index: XorbIndex


class XorbIndexes:
    """A cache of about 200 decoded indexes (some 100 kB each), shared by the threads of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[bytes, StoredXorb] = OrderedDict()
        self._lock = Lock()

    def find(self, xorb_hash: bytes, upcoming: Iterable[bytes] = ()) -> StoredXorb | None:
        """The stored xorb, or None; the first of those `upcoming` are fetched in the same query."""
        with self._lock:
            kept = self._kept.get(xorb_hash)
            if kept is not None:
                self._kept.move_to_end(xorb_hash)
                return kept
            wanted = [xorb_hash]
            for other in dict.fromkeys(upcoming):
                if len(wanted) == _AHEAD:
                    break
                if other != xorb_hash and other not in self._kept:
                    wanted.append(other)
        found = self._load(wanted)
        with self._lock:
            self._kept.update(found)
            while len(self._kept) > _CAPACITY:
                self._kept.popitem(last=False)
        return found.get(xorb_hash)

    def get(self, xorb_hash: bytes, upcoming: Iterable[bytes] = ()) -> StoredXorb:
        """`find`, or MissingBlob: a registered file's xorbs must be there."""
        stored = self.find(xorb_hash, upcoming)
        if stored is None:
            raise MissingBlob(
                f"Xorb {hash_to_text(xorb_hash)} is not stored", hint="restore it from a backup"
            )
        return stored

    def index(self, xorb_hash: bytes) -> XorbIndex | None:
        """The index alone, as reconstruction asks for it."""
        stored = self.find(xorb_hash)
        return stored.index if stored else None

    def lookup(self, order: Iterable[bytes]) -> XorbLookup:
        """`index` for xorbs that will be asked for in about this order: many come in one query."""
        hashes = list(dict.fromkeys(order))
        places = {xorb_hash: place for place, xorb_hash in enumerate(hashes)}

        def find(xorb_hash: bytes) -> XorbIndex | None:
            place = places.get(xorb_hash)
            if place is None:
                return None
            stored = self.find(xorb_hash, islice(hashes, place + 1, place + _AHEAD))
            return stored.index if stored else None

        return find

    def forget(self, xorb_hash: bytes) -> None:
        """Ask the database next time: the xorb was stored anew, or was not what its index says."""
        with self._lock:
            self._kept.pop(xorb_hash, None)

    def _load(self, wanted: list[bytes]) -> dict[bytes, StoredXorb]:
        texts = {hash_to_text(raw): raw for raw in wanted}
        with self._database.read() as connection:
            found = rows.find_xorbs(connection, list(texts))
        return {
            texts[text]: StoredXorb(row.object_key, XorbIndex.decode(row.index))
            for text, row in found.items()
        }
