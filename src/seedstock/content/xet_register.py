"""Registering shards: which files an upload makes of the xorbs in the store.

Nothing in a shard is believed: structure and proofs are checked against stored xorbs that the caller may
use, then the file is rebuilt and its SHA-256 computed. Only then is anything recorded, in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from seedstock.content.objects import StoredObjects
from seedstock.content.xet_read import Decoder, XetReader
from seedstock.content.xet_terms import decode_terms, encode_terms
from seedstock.content.xet_upload import write_twice
from seedstock.core.clock import Clock
from seedstock.core.errors import BadUpload
from seedstock.db import files as file_rows
from seedstock.db import xet as rows
from seedstock.db.engine import Database
from seedstock.db.xet import XetFileRow, XorbScope
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.shard import Shard, ValidatedFile, XorbLookup, parse_shard, validate_file
from seedstock.xet.xorb import decode_records, decode_unchecked
from seedstock.xet.xorb_index import Term, XorbIndex

_FOLLOWERS = 3
"""One chunk in 1024 can be asked for, so every third xorb of a large file has none: an answer also names
the xorbs that follow in the file."""

_TELL_BYTES = 256 << 20
"""How much is rebuilt between two reports of progress: a second or less."""


class _Checked(msgspec.Struct, frozen=True):
    """A file of the shard that is what it claims; `fresh` if it has yet to be recorded."""

    file: XetFileRow
    fresh: bool


class Progress(msgspec.Struct, frozen=True):
    """How much of the files of a shard was rebuilt so far."""

    verified_bytes: int
    total_bytes: int


class ShardRegistry:
    """Turns uploaded shards into files."""

    def __init__(self, database: Database, objects: StoredObjects, reader: XetReader, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._reader = reader
        self._clock = clock

    def register(self, scope: XorbScope, body: bytes) -> Generator[Progress, None, bool]:
        """Register every file of a shard; returns whether any was unknown. Idempotent.

        Yields progress often enough to keep a connection alive, and is to be run to its end.
        Raises BadUpload or TooLarge if anything about it is wrong, and then registers nothing;
        CorruptBlock or MissingBlob if a stored xorb it needs is damaged.
        """
        shard = parse_shard(body)
        named = [term.xorb_hash for file in shard.files for term in file.terms]
        lookup = self._visible_lookup(scope, [*named, *(xorb.hash for xorb in shard.xorbs)])
        known = self._sound_files([hash_to_text(file.hash) for file in shard.files])
        validated = [validate_file(file, lookup) for file in shard.files]
        total = sum(file.size_bytes for file in validated)
        verified = 0
        checked: list[_Checked] = []
        for file in validated:
            yield Progress(verified, total)
            for done_bytes in self._rebuilding(file, known, checked):
                yield Progress(verified + done_bytes, total)
            verified += file.size_bytes
        yield Progress(total, total)
        self._record(scope, checked, set(named), set(_dedup_chunks(shard, lookup)))
        return any(item.fresh for item in checked)

    def _visible_lookup(self, scope: XorbScope, hashes: Sequence[bytes]) -> XorbLookup:
        """Indexes of the xorbs that the scope may use; others look as if they were not stored."""
        texts = {hash_to_text(raw): raw for raw in hashes}
        with self._database.read() as connection:
            visible = rows.visible_xorbs(connection, scope, list(texts))
        return self._reader.indexes.lookup(raw for text, raw in texts.items() if text in visible)

    def _sound_files(self, hashes: Sequence[str]) -> dict[str, XetFileRow]:
        """Files that were verified before and whose every xorb is untouched since."""
        with self._database.read() as connection:
            found = rows.find_files(connection, list(dict.fromkeys(hashes)))
            named = {
                text: {hash_to_text(term.xorb_hash) for term in decode_terms(row.terms)}
                for text, row in found.items()
                if row.digest is not None
            }
            keys = rows.object_keys(connection, list(set().union(*named.values())))
        sound = self._objects.intact_keys(list(keys.values()))
        return {
            text: found[text]
            for text, xorbs in named.items()
            if all(keys.get(xorb) in sound for xorb in xorbs)
        }

    def _rebuilding(
        self, file: ValidatedFile, known: dict[str, XetFileRow], checked: list[_Checked]
    ) -> Iterator[int]:
        """Compute the SHA-256, or take the one computed before; yields bytes done, adds to `checked`.

        Raises BadUpload unless it is the claimed one.
        """
        text = hash_to_text(file.hash)
        recorded = known.get(text)
        digest = recorded.digest if recorded else (yield from self._digest_of(file))
        if file.claimed_sha256 not in {None, digest}:
            raise BadUpload(f"File {text}: its bytes have sha256 {digest}, not {file.claimed_sha256}")
        row = recorded or XetFileRow(text, file.size_bytes, encode_terms(file.terms), digest)
        checked.append(_Checked(row, fresh=recorded is None))

    def _digest_of(self, file: ValidatedFile) -> Generator[int, None, str]:
        """SHA-256 of the rebuilt file; yields bytes done.

        While it is the claimed one it vouches for every byte, and chunk hashes would only double the cost.
        """
        digest = yield from self._rebuild(file, decode_unchecked)
        if digest == file.claimed_sha256:
            return digest
        return (yield from self._rebuild(file, decode_records))

    def _rebuild(self, file: ValidatedFile, decode: Decoder) -> Generator[int, None, str]:
        whole = hashlib.sha256()
        done = told = 0
        if file.size_bytes:
            for plain in self._reader.iter_chunks(file.terms, 0, file.size_bytes, decode):
                whole.update(plain)
                done += len(plain)
                if done - told >= _TELL_BYTES:
                    told = done
                    yield done
        return whole.hexdigest()

    def _record(
        self,
        scope: XorbScope,
        checked: Sequence[_Checked],
        named: set[bytes],
        chunks: set[tuple[bytes, str]],
    ) -> None:
        """One transaction: files, what the repo may name, which xorbs it may use, dedup offers."""
        at = self._clock()
        fresh = list({item.file.hash: item.file for item in checked if item.fresh}.values())
        digests = [item.file.digest for item in checked if item.file.digest]
        xorbs = [hash_to_text(raw) for raw in named]
        linked = self._unlinked(fresh)

        def work(connection: sa.Connection) -> None:
            rows.put_files(connection, fresh, at)
            rows.link_files(connection, linked, at)
            file_rows.allow_in_repo(connection, scope.repo_id, digests, at)
            rows.add_scopes(connection, scope.repo_id, xorbs)
            rows.touch_xorbs(connection, xorbs, at)
            rows.add_chunks(connection, chunks)

        write_twice(self._database, work)

    def _unlinked(self, fresh: Sequence[XetFileRow]) -> list[XetFileRow]:
        """Those whose large file has no sound Xet representation yet.

        The first one stays: a client that cuts chunks in a strange way must not slow down everybody's reads.
        """
        with self._database.read() as connection:
            present = rows.xet_hashes_of(connection, [row.digest for row in fresh if row.digest])
        sound = self._sound_files(list(present.values()))
        return [row for row in fresh if present.get(row.digest or "") not in sound]


def _dedup_chunks(shard: Shard, lookup: XorbLookup) -> Iterator[tuple[bytes, str]]:
    """Chunks to offer, with the xorbs to answer with: the one that holds it and those that follow it."""
    followers: dict[bytes, list[bytes]] = {}
    first_chunks: list[Term] = []
    for file in shard.files:
        order = list(dict.fromkeys(term.xorb_hash for term in file.terms))
        for place, xorb_hash in enumerate(order):
            followers.setdefault(xorb_hash, []).extend(order[place + 1 : place + 1 + _FOLLOWERS])
        first_chunks += file.terms[:1]
    for term in first_chunks:
        index = lookup(term.xorb_hash)
        if index is not None:
            for text in _answer(term.xorb_hash, followers):
                yield index.chunk_hash(term.first_chunk), text
    for xorb in shard.xorbs:
        index = lookup(xorb.hash)
        flagged = {chunk.hash for chunk in xorb.chunks if chunk.dedup}
        for raw in _eligible(index, flagged) if index else ():
            for text in _answer(xorb.hash, followers):
                yield raw, text


def _answer(xorb_hash: bytes, followers: dict[bytes, list[bytes]]) -> list[str]:
    """Text forms of a xorb and a few that follow it in some file."""
    after = list(dict.fromkeys(followers.get(xorb_hash, ())))[:_FOLLOWERS]
    return [hash_to_text(raw) for raw in (xorb_hash, *after)]


def _eligible(index: XorbIndex, flagged: set[bytes]) -> list[bytes]:
    """Chunks of the xorb that clients ask for: flagged, or with a hash divisible by 1024.

    The last 8 bytes as a little-endian integer modulo 1024 are byte 24 and two bits of byte 25.
    """
    return [raw for raw in index.chunk_hashes() if raw in flagged or (raw[24] == 0 and raw[25] & 3 == 0)]
