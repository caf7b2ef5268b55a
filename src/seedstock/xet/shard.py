"""Shards: parse an uploaded one strictly, and check a file it registers against stored xorbs.

Everything is little-endian and lies in 48-byte records. Parsing believes no count: each is compared with
the bytes that are left before anything is read or allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from seedstock.core.digests import Digest
from seedstock.core.errors import BadUpload, TooLarge
from seedstock.xet.hashing import HASH_BYTES, Leaf, MerkleTree, file_hash_of, hash_to_text, swap_groups
from seedstock.xet.xorb_index import Term, XorbIndex

MAX_SHARD_BYTES = 64 * 1024 * 1024
MAX_FILE_CHUNKS = 16 * 1024 * 1024
"""1 TiB at the usual 64 KiB a chunk; without a limit a small shard could name one big xorb endlessly."""
SHARD_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
SHARD_VERSION = 2
RECORD_BYTES = 48
BOOKEND = b"\xff" * HASH_BYTES + bytes(16)
FOOTER_BYTES = 200
FLAG_VERIFICATION = 1 << 31
FLAG_METADATA = 1 << 30
FLAG_DEDUP = 1 << 31

HEADER = struct.Struct("<32sQQ")
FILE_RECORD = struct.Struct("<32sIIQ")
QUAD_RECORD = struct.Struct("<32sIIII")

XorbLookup = Callable[[bytes], XorbIndex | None]
"""Raw xorb hash to the index of a stored xorb that the caller may use, else None."""


class ShardFile(msgspec.Struct, frozen=True):
    """A file as a shard registers it; `verifications` is empty or has one hash per term."""

    hash: bytes
    terms: tuple[Term, ...]
    verifications: tuple[bytes, ...]
    sha256: Digest | None

    @property
    def size_bytes(self) -> int:
        """Sum of the term lengths, as claimed."""
        return sum(term.plain_bytes for term in self.terms)


class ShardChunk(msgspec.Struct, frozen=True, gc=False):
    """A chunk of a xorb: where its plain bytes start in the plain xorb, and whether to offer it for dedup."""

    hash: bytes
    plain_start: int
    plain_bytes: int
    dedup: bool


class ShardXorb(msgspec.Struct, frozen=True):
    """A xorb as a shard lists it; `stored_bytes` is 0 in uploads."""

    hash: bytes
    chunks: tuple[ShardChunk, ...]
    plain_bytes: int
    stored_bytes: int


class Shard(msgspec.Struct, frozen=True):
    """The two sections of a shard; either may be empty."""

    files: tuple[ShardFile, ...]
    xorbs: tuple[ShardXorb, ...]


class ValidatedFile(msgspec.Struct, frozen=True):
    """A file whose structure holds; its SHA-256 is still only claimed."""

    hash: bytes
    terms: tuple[Term, ...]
    size_bytes: int
    chunk_count: int
    claimed_sha256: Digest | None


class _Cursor:
    """Reads records in order; running out of bytes is BadUpload."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int, what: str) -> int:
        """Step over `count` records and return where they start."""
        start = self.at
        left = (len(self.data) - start) // RECORD_BYTES
        if count > left:
            raise BadUpload(
                f"Shard is cut short: {what} needs {count} records at byte {start}, {left} are left"
            )
        self.at = start + count * RECORD_BYTES
        return start

    def at_bookend(self, section: str) -> bool:
        """Whether the next record ends the section; if so step over it."""
        start = self.take(1, f"the {section} section")
        if self.data[start : start + RECORD_BYTES] == BOOKEND:
            return True
        self.at = start
        return False


def parse_shard(data: bytes | bytearray | memoryview) -> Shard:
    """Parse a shard, with or without a footer (which is skipped). Raises BadUpload, TooLarge."""
    view = memoryview(data)
    if len(view) > MAX_SHARD_BYTES:
        raise TooLarge(f"Shard of {len(view)} bytes is larger than {MAX_SHARD_BYTES} bytes")
    if len(view) < HEADER.size:
        raise BadUpload(f"Shard of {len(view)} bytes is too short")
    tag, version, footer_bytes = HEADER.unpack_from(view)
    if tag != SHARD_TAG:
        raise BadUpload("Shard does not begin with the shard tag")
    if version != SHARD_VERSION:
        raise BadUpload(f"Shard has unknown version {version}")
    if footer_bytes not in {0, FOOTER_BYTES}:
        raise BadUpload(f"Shard declares a footer of {footer_bytes} bytes")
    cursor = _Cursor(view)
    cursor.at = HEADER.size
    files = _parse_files(cursor)
    xorbs = _parse_xorbs(cursor)
    left = len(view) - cursor.at
    # Without a footer there can be no lookup tables either.
    if left < footer_bytes or (left and not footer_bytes):
        raise BadUpload(f"Shard has {left} bytes after its sections and declares a footer of {footer_bytes}")
    return Shard(files=files, xorbs=xorbs)


def validate_file(file: ShardFile, lookup: XorbLookup) -> ValidatedFile:
    """Check terms, verification hashes and file hash against stored xorbs. Raises BadUpload, TooLarge.

    What remains to be checked is the SHA-256, which needs the bytes.
    """
    name = hash_to_text(file.hash)
    if len(file.verifications) != len(file.terms):
        raise BadUpload(f"File {name}: verification hashes are missing")
    tree = MerkleTree()
    for number, (term, proof) in enumerate(zip(file.terms, file.verifications, strict=True)):
        tree.extend(_check_term(f"File {name} term {number}", term, proof, lookup))
        if tree.leaf_count > MAX_FILE_CHUNKS:
            raise TooLarge(f"File {name}: it has more than {MAX_FILE_CHUNKS} chunks")
    actual = file_hash_of(tree)
    if actual != file.hash:
        raise BadUpload(f"File {name}: its chunks give the file hash {hash_to_text(actual)}")
    return ValidatedFile(
        hash=file.hash,
        terms=file.terms,
        size_bytes=file.size_bytes,
        chunk_count=tree.leaf_count,
        claimed_sha256=file.sha256,
    )


def _check_term(where: str, term: Term, proof: bytes, lookup: XorbLookup) -> list[Leaf]:
    """The Merkle leaves of a term that is right in every respect. Raises BadUpload."""
    index = lookup(term.xorb_hash)
    if index is None:
        raise BadUpload(f"{where}: xorb {hash_to_text(term.xorb_hash)} is not stored")
    first, end = term.first_chunk, term.end_chunk
    if not first < end <= index.chunk_count:
        raise BadUpload(f"{where}: chunks {first} to {end} are not in a xorb of {index.chunk_count} chunks")
    length = index.plain_length(first, end)
    if length != term.plain_bytes:
        raise BadUpload(f"{where}: declares {term.plain_bytes} bytes where its chunks hold {length}")
    if index.verification_hash(first, end) != proof:
        raise BadUpload(f"{where}: the verification hash does not match")
    return index.leaves(first, end)


def _parse_files(cursor: _Cursor) -> tuple[ShardFile, ...]:
    """The file section, up to and including its bookend."""
    files: list[ShardFile] = []
    while not cursor.at_bookend("file"):
        raw, flags, count, _ = FILE_RECORD.unpack_from(cursor.data, cursor.take(1, "a file header"))
        terms = _parse_terms(cursor, count)
        verifications = _parse_hashes(cursor, count) if flags & FLAG_VERIFICATION else ()
        sha256 = None
        if flags & FLAG_METADATA:
            (swapped,) = _parse_hashes(cursor, 1)
            sha256 = Digest(swap_groups(swapped).hex())
        files.append(ShardFile(hash=raw, terms=terms, verifications=verifications, sha256=sha256))
    return tuple(files)


def _parse_terms(cursor: _Cursor, count: int) -> tuple[Term, ...]:
    """The terms of one file."""
    start = cursor.take(count, "a list of terms")
    terms: list[Term] = []
    for raw, _, length, first, end in QUAD_RECORD.iter_unpack(cursor.data[start : cursor.at]):
        terms.append(Term(xorb_hash=raw, first_chunk=first, end_chunk=end, plain_bytes=length))
    return tuple(terms)


def _parse_hashes(cursor: _Cursor, count: int) -> tuple[bytes, ...]:
    """The leading hashes of verification or metadata records."""
    start = cursor.take(count, "verification and metadata")
    return tuple([bytes(cursor.data[at : at + HASH_BYTES]) for at in range(start, cursor.at, RECORD_BYTES)])


def _parse_xorbs(cursor: _Cursor) -> tuple[ShardXorb, ...]:
    """The xorb section, up to and including its bookend."""
    xorbs: list[ShardXorb] = []
    while not cursor.at_bookend("xorb"):
        raw, _, count, plain, stored = QUAD_RECORD.unpack_from(cursor.data, cursor.take(1, "a xorb header"))
        chunks = _parse_chunks(cursor, count)
        xorbs.append(ShardXorb(hash=raw, chunks=chunks, plain_bytes=plain, stored_bytes=stored))
    return tuple(xorbs)


def _parse_chunks(cursor: _Cursor, count: int) -> tuple[ShardChunk, ...]:
    """The chunks of one xorb."""
    start = cursor.take(count, "a list of chunks")
    chunks: list[ShardChunk] = []
    for raw, offset, length, flags, _ in QUAD_RECORD.iter_unpack(cursor.data[start : cursor.at]):
        dedup = bool(flags & FLAG_DEDUP)
        chunks.append(ShardChunk(hash=raw, plain_start=offset, plain_bytes=length, dedup=dedup))
    return tuple(chunks)
