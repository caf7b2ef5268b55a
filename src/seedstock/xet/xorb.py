"""Xorbs: verify one as it arrives, decode runs of its records, and write one.

A xorb is a sequence of records (8-byte header, payload). Nothing about it is believed before finish():
every payload is decompressed under a bound, hashed, and the Merkle root compared with the announced hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedstock.core.errors import BadUpload, CorruptBlock, TooLarge
from seedstock.xet.chunk_codec import Scheme, decode_payload, encode_payload
from seedstock.xet.hashing import chunk_hash, hash_to_text
from seedstock.xet.xorb_index import (
    MAX_CHUNK_BYTES,
    MAX_XORB_BYTES,
    MAX_XORB_CHUNKS,
    RECORD_HEADER_BYTES,
    XorbIndex,
)

MAX_FOOTER_BYTES = 1024 * 1024
"""A footer holds at most about 40 bytes per chunk and some constants."""

# LZ4 never grows a chunk by more than a frame header, block headers and checksums.
_MAX_PAYLOAD_BYTES = MAX_CHUNK_BYTES + 1024
_FOOTER_MAGIC = b"XETBLOB"

Buffer = bytes | bytearray | memoryview


class XorbReader:
    """Verifies a xorb fed in pieces of any size; holds at most one record and one piece.

    After an exception from feed() the reader is spent.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._hashes: list[bytes] = []
        self._record_bytes: list[int] = []
        self._plain_bytes: list[int] = []
        self._in_footer = False
        self.stored_bytes = 0
        """Bytes of complete records seen: the length to keep, a footer being stripped."""
        self.footer_bytes = 0

    def feed(self, piece: Buffer) -> None:
        """Take the next bytes. Raises BadUpload or TooLarge as soon as something is wrong."""
        view = memoryview(piece)
        if self._pending:
            view = self._complete_pending(view)
        if self._pending or not len(view):
            return
        used = self._take_records(view)
        self._pending += view[used:]

    def finish(self, expected_hash: bytes) -> XorbIndex:
        """The index, if all that was fed is the xorb of that raw hash. Raises BadUpload."""
        if self._pending:
            raise BadUpload(f"Xorb chunk {len(self._hashes)}: the record is cut short by the end of the body")
        if not self._hashes:
            raise BadUpload("Xorb holds no chunks")
        index = XorbIndex.from_lengths(b"".join(self._hashes), self._record_bytes, self._plain_bytes)
        actual = index.xorb_hash()
        if actual != expected_hash:
            raise BadUpload(f"Xorb hash is {hash_to_text(actual)}, not {hash_to_text(expected_hash)}")
        return index

    def _complete_pending(self, view: memoryview) -> memoryview:
        """Move bytes until the pending record is whole and taken; return what is left of the piece."""
        while len(view):
            missing = _needed(self._pending, len(self._hashes)) - len(self._pending)
            self._pending += view[:missing]
            view = view[missing:]
            with memoryview(self._pending) as record:
                taken = self._take_records(record)
            if taken:
                self._pending = bytearray()
                break
        return view

    def _take_records(self, view: memoryview) -> int:
        """Verify the whole records at the start of `view`; return how many bytes they take."""
        at, stop = 0, len(view)
        while not self._in_footer and stop - at >= RECORD_HEADER_BYTES:
            if view[at : at + len(_FOOTER_MAGIC)] == _FOOTER_MAGIC:
                self._in_footer = True
                break
            end = at + _needed(view[at : at + RECORD_HEADER_BYTES], len(self._hashes))
            if end > stop:
                break
            self._take_record(view[at:end])
            at = end
        if self._in_footer:
            self._take_footer(stop - at)
            return stop
        return at

    def _take_record(self, record: memoryview) -> None:
        """Verify one whole record and note it."""
        number = len(self._hashes)
        if number >= MAX_XORB_CHUNKS:
            raise TooLarge(f"Xorb holds more than {MAX_XORB_CHUNKS} chunks")
        if self.stored_bytes + len(record) > MAX_XORB_BYTES:
            raise TooLarge(f"Xorb is larger than {MAX_XORB_BYTES} bytes")
        plain_bytes = _plain_length(record)
        try:
            plain = decode_payload(record[4], record[RECORD_HEADER_BYTES:], plain_bytes)
        except CorruptBlock as error:
            raise BadUpload(f"Xorb chunk {number}: {error.message}") from error
        self._hashes.append(chunk_hash(plain))
        self._record_bytes.append(len(record))
        self._plain_bytes.append(plain_bytes)
        self.stored_bytes += len(record)

    def _take_footer(self, length: int) -> None:
        """Count footer bytes; nothing in them is used."""
        self.footer_bytes += length
        if self.footer_bytes > MAX_FOOTER_BYTES:
            raise TooLarge(f"Xorb footer is larger than {MAX_FOOTER_BYTES} bytes")


def verify_xorb(body: Buffer, expected_hash: bytes) -> XorbIndex:
    """Verify a whole xorb in memory. Raises BadUpload or TooLarge."""
    reader = XorbReader()
    reader.feed(body)
    return reader.finish(expected_hash)


def decode_records(buffer: Buffer, index: XorbIndex, first: int, end: int) -> Iterator[bytes | memoryview]:
    """Yield the plain bytes of chunks [first, end), each checked against its hash.

    `buffer` holds exactly the bytes of `index.byte_range(first, end)`; views yielded point into it.
    Raises CorruptBlock on damage (nothing after it is yielded), Invalid if there are no such chunks.
    """
    for chunk, plain in enumerate(decode_unchecked(buffer, index, first, end), first):
        if chunk_hash(plain) != index.chunk_hash(chunk):
            raise CorruptBlock(f"Xorb chunk {chunk}: the bytes do not match the chunk hash")
        yield plain


def decode_unchecked(buffer: Buffer, index: XorbIndex, first: int, end: int) -> Iterator[bytes | memoryview]:
    """`decode_records` without the chunk hashes, for callers that check a digest over all the bytes."""
    start, stop = index.byte_range(first, end)
    view = memoryview(buffer)
    if len(view) != stop - start:
        raise CorruptBlock(
            f"Xorb chunks {first} to {end}: {len(view)} bytes where {stop - start} were stored"
        )
    for chunk in range(first, end):
        record = view[index.record_starts[chunk] - start : index.record_starts[chunk + 1] - start]
        yield _decode_record(record, index, chunk)


def build_xorb(chunks: Sequence[bytes], scheme: Scheme) -> tuple[bytes, XorbIndex]:
    """Serialise chunks in order, all with one scheme; the hash is `index.xorb_hash()`.

    A chunk that the scheme would enlarge is stored plain. Raises TooLarge beyond the limits of a xorb.
    """
    if not 1 <= len(chunks) <= MAX_XORB_CHUNKS:
        raise TooLarge(f"A xorb holds 1 to {MAX_XORB_CHUNKS} chunks, not {len(chunks)}")
    records = [_encode_record(chunk, scheme) for chunk in chunks]
    body = b"".join(records)
    if len(body) > MAX_XORB_BYTES:
        raise TooLarge(f"Xorb is larger than {MAX_XORB_BYTES} bytes")
    hashes = b"".join([chunk_hash(chunk) for chunk in chunks])
    return body, XorbIndex.from_lengths(hashes, [len(r) for r in records], [len(c) for c in chunks])


def _encode_record(chunk: bytes, scheme: Scheme) -> bytes:
    """One record: header and payload."""
    if not 1 <= len(chunk) <= MAX_CHUNK_BYTES:
        raise TooLarge(f"A chunk holds 1 to {MAX_CHUNK_BYTES} bytes, not {len(chunk)}")
    payload = encode_payload(scheme, chunk)
    if len(payload) >= len(chunk):
        scheme, payload = Scheme.NONE, chunk
    sizes = len(payload).to_bytes(3, "little"), len(chunk).to_bytes(3, "little")
    return b"\0" + sizes[0] + bytes([scheme]) + sizes[1] + payload


def _decode_record(record: memoryview, index: XorbIndex, chunk: int) -> bytes | memoryview:
    """The plain bytes of one stored record. Raises CorruptBlock."""
    length = index.plain_length(chunk, chunk + 1)
    payload_bytes = int.from_bytes(record[1:4], "little")
    if (
        record[0] != 0
        or payload_bytes != len(record) - RECORD_HEADER_BYTES
        or _plain_length(record) != length
    ):
        raise CorruptBlock(f"Xorb chunk {chunk}: the record header is damaged")
    try:
        return decode_payload(record[4], record[RECORD_HEADER_BYTES:], length)
    except CorruptBlock as error:
        raise CorruptBlock(f"Xorb chunk {chunk}: {error.message}") from error


def _plain_length(record: Buffer) -> int:
    """The uncompressed length that a record header declares."""
    return int.from_bytes(record[5:8], "little")


def _needed(head: Buffer, number: int) -> int:
    """Length of the record that begins with `head`: the header alone while that is incomplete.

    Raises BadUpload if the header is impossible, before anything is buffered for its payload.
    """
    if len(head) < RECORD_HEADER_BYTES:
        return RECORD_HEADER_BYTES
    if head[:7] == _FOOTER_MAGIC:
        return RECORD_HEADER_BYTES
    if head[0] != 0:
        raise BadUpload(f"Xorb chunk {number}: unknown record version {head[0]}")
    plain_bytes = _plain_length(head)
    if not 1 <= plain_bytes <= MAX_CHUNK_BYTES:
        raise BadUpload(
            f"Xorb chunk {number}: declared length {plain_bytes} is not in 1 to {MAX_CHUNK_BYTES}"
        )
    payload_bytes = int.from_bytes(head[1:4], "little")
    if not 1 <= payload_bytes <= _MAX_PAYLOAD_BYTES:
        raise BadUpload(
            f"Xorb chunk {number}: payload length {payload_bytes} is not in 1 to {_MAX_PAYLOAD_BYTES}"
        )
    return RECORD_HEADER_BYTES + payload_bytes
