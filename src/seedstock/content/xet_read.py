"""Plain bytes of Xet files, rebuilt from stored xorbs.

Check of a read: `always`. Stored records are read without their block checks, because every chunk is
decompressed and compared with its hash before it is yielded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from seedstock.content.objects import StoredObjects
from seedstock.content.xet_index import StoredXorb, XorbIndexes
from seedstock.content.xet_terms import decode_terms
from seedstock.core.errors import CorruptBlock, Integrity, MissingBlob
from seedstock.db import xet as rows
from seedstock.db.engine import Database
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.reconstruct import ReadStep, plan_read
from seedstock.xet.xorb import decode_records
from seedstock.xet.xorb_index import Term, XorbIndex

_RUN_BYTES = 2 << 20
"""Stored bytes read at once; a stream holds about twice that."""
_PIECE_BYTES = 1 << 20
_LOOK_AHEAD = 256

Plain = bytes | memoryview
Decoder = Callable[[bytes, XorbIndex, int, int], Iterator[Plain]]
"""`decode_records` or `decode_unchecked`."""


class XetReader:
    """Reads files by their terms."""

    def __init__(self, database: Database, objects: StoredObjects, indexes: XorbIndexes) -> None:
        self.indexes = indexes
        self._database = database
        self._objects = objects

    def iter_range(self, xet_hash: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield plain bytes [start, stop) of a file in pieces of about a MiB, each chunk verified.

        Raises CorruptBlock or MissingBlob; nothing after the damage is yielded.
        """
        if start >= stop:
            return
        with self._database.read() as connection:
            file = rows.find_files(connection, [xet_hash]).get(xet_hash)
        if file is None:
            raise MissingBlob(f"Xet file {xet_hash} is not recorded", hint="restore it from a backup")
        pending: list[Plain] = []
        size = 0
        for plain in self.iter_chunks(decode_terms(file.terms), start, stop):
            pending.append(plain)
            size += len(plain)
            if size >= _PIECE_BYTES:
                yield b"".join(pending)
                pending, size = [], 0
        if pending:
            yield b"".join(pending)

    def iter_chunks(
        self, terms: Sequence[Term], start: int, stop: int, decode: Decoder = decode_records
    ) -> Iterator[Plain]:
        """Yield plain bytes [start, stop) of the file with these terms, chunk by chunk."""
        steps = plan_read(terms, start, stop, self.indexes.index)
        for number, step in enumerate(steps):
            ahead = (other.xorb_hash for other in islice(steps, number + 1, number + _LOOK_AHEAD))
            stored = self.indexes.get(step.xorb_hash, ahead)
            try:
                yield from _trim(self._iter_step(step, stored, decode), step)
            except Integrity as error:
                # Another process may have stored the xorb anew, with other record lengths.
                self.indexes.forget(step.xorb_hash)
                self._objects.distrust(stored.object_key)
                if isinstance(error, MissingBlob):
                    raise
                raise CorruptBlock(
                    f"Xorb {hash_to_text(step.xorb_hash)}: {error.message}",
                    hint="upload the file again, or restore it from a backup",
                ) from error

    def _iter_step(self, step: ReadStep, stored: StoredXorb, decode: Decoder) -> Iterator[Plain]:
        for first, end in _runs(stored.index, step.first_chunk, step.end_chunk):
            start, stop = stored.index.byte_range(first, end)
            yield from decode(
                self._objects.read_raw(stored.object_key, start, stop), stored.index, first, end
            )


def _runs(index: XorbIndex, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut chunks [first, end) into runs of at most _RUN_BYTES stored bytes, at least one chunk each."""
    starts = index.record_starts
    while first < end:
        stop = bisect_right(starts, starts[first] + _RUN_BYTES, first, end + 1) - 1
        stop = max(stop, first + 1)
        yield first, stop
        first = stop


def _trim(chunks: Iterator[Plain], step: ReadStep) -> Iterator[Plain]:
    """Drop what the step skips and what lies behind the bytes it takes."""
    skip, left = step.skip_bytes, step.take_bytes
    for chunk in chunks:
        plain = memoryview(chunk)[skip : skip + left] if skip or len(chunk) > left else chunk
        skip = 0
        left -= len(plain)
        yield plain
