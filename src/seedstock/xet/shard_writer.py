"""Write shards: answers to global-dedup queries, and the upload form.

A dedup answer has no lookup tables. Its footer must then give the footer's own offset as the place of all
three tables: with zeros there the client computes a negative length and aborts its whole process.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from seedstock.xet.hashing import keyed_chunk_hash, swap_groups
from seedstock.xet.shard import (
    BOOKEND,
    FILE_RECORD,
    FLAG_DEDUP,
    FLAG_METADATA,
    FLAG_VERIFICATION,
    FOOTER_BYTES,
    HEADER,
    QUAD_RECORD,
    SHARD_TAG,
    SHARD_VERSION,
    Shard,
    ShardChunk,
    ShardFile,
    ShardXorb,
)
from seedstock.xet.xorb_index import XorbIndex

_FOOTER = struct.Struct("<9Q32s2Q48s3QQ")
_FOOTER_VERSION = 1


def shard_xorb(xorb_hash: bytes, index: XorbIndex, *, dedup: bool = False) -> ShardXorb:
    """The shard entry of a stored xorb, all its chunks with the same dedup flag."""
    starts = index.plain_starts
    chunks = [
        ShardChunk(hash=raw, plain_start=starts[i], plain_bytes=starts[i + 1] - starts[i], dedup=dedup)
        for i, raw in enumerate(index.chunk_hashes())
    ]
    return ShardXorb(
        hash=xorb_hash, chunks=tuple(chunks), plain_bytes=index.plain_bytes, stored_bytes=index.stored_bytes
    )


def encode_shard(shard: Shard) -> bytes:
    """The upload form: no footer."""
    head = HEADER.pack(SHARD_TAG, SHARD_VERSION, 0)
    return head + _file_section(shard.files) + _xorb_section(shard.xorbs)


def encode_dedup_answer(
    xorbs: Sequence[ShardXorb], *, key: bytes, created_at_s: int, expires_at_s: int
) -> bytes:
    """The answer to a global-dedup query: these xorbs, chunk hashes hidden by `key` (32 bytes).

    Times are unix seconds; the client forgets the answer after `expires_at_s`.
    """
    files = _file_section(())
    section = _xorb_section([_hide(xorb, key) for xorb in xorbs])
    xorbs_at = HEADER.size + len(files)
    footer_at = xorbs_at + len(section)
    no_table = (footer_at, 0)
    stored = sum(xorb.stored_bytes for xorb in xorbs)
    plain = sum(xorb.plain_bytes for xorb in xorbs)
    footer = _FOOTER.pack(
        *(_FOOTER_VERSION, HEADER.size, xorbs_at, *no_table, *no_table, *no_table),
        *(key, created_at_s, expires_at_s, bytes(48)),
        *(stored, 0, plain),  # on disk, materialised in files (none here), in xorbs
        footer_at,
    )
    return HEADER.pack(SHARD_TAG, SHARD_VERSION, FOOTER_BYTES) + files + section + footer


def _hide(xorb: ShardXorb, key: bytes) -> ShardXorb:
    """The same xorb with keyed chunk hashes."""
    chunks = [
        ShardChunk(keyed_chunk_hash(key, c.hash), c.plain_start, c.plain_bytes, c.dedup) for c in xorb.chunks
    ]
    return ShardXorb(xorb.hash, tuple(chunks), xorb.plain_bytes, xorb.stored_bytes)


def _file_section(files: Sequence[ShardFile]) -> bytes:
    """All files and the bookend."""
    return b"".join([*map(_file_records, files), BOOKEND])


def _file_records(file: ShardFile) -> bytes:
    """Header, terms, verification and metadata of one file."""
    flags = FLAG_VERIFICATION if file.verifications else 0
    flags |= FLAG_METADATA if file.sha256 else 0
    parts = [FILE_RECORD.pack(file.hash, flags, len(file.terms), 0)]
    parts += [
        QUAD_RECORD.pack(term.xorb_hash, 0, term.plain_bytes, term.first_chunk, term.end_chunk)
        for term in file.terms
    ]
    parts += [raw + bytes(16) for raw in file.verifications]
    if file.sha256:
        parts.append(swap_groups(bytes.fromhex(file.sha256)) + bytes(16))
    return b"".join(parts)


def _xorb_section(xorbs: Sequence[ShardXorb]) -> bytes:
    """All xorbs and the bookend."""
    parts: list[bytes] = []
    for xorb in xorbs:
        parts.append(QUAD_RECORD.pack(xorb.hash, 0, len(xorb.chunks), xorb.plain_bytes, xorb.stored_bytes))
        parts += [
            QUAD_RECORD.pack(c.hash, c.plain_start, c.plain_bytes, FLAG_DEDUP if c.dedup else 0, 0)
            for c in xorb.chunks
        ]
    return b"".join([*parts, BOOKEND])
