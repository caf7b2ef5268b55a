"""Index of a xorb: which chunks it holds and where their records lie.

Records follow each other without gaps, so lengths are stored and offsets derived. Encoded form (for a
database column, little-endian; also in docs/formats/xorb-index.md):

    offset      bytes   meaning
    0           1       version, 1
    1           4       n, number of chunks, 1 to 8192
    5           32 n    raw chunk hashes
    5 + 32 n    4 n     record lengths in bytes, header included
    5 + 36 n    4 n     plain (uncompressed) lengths in bytes
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from seedstock.core.errors import CorruptBlock, Invalid
from seedstock.xet.hashing import HASH_BYTES, Leaf, merkle_root, verification_hash

MAX_XORB_CHUNKS = 8192
MAX_CHUNK_BYTES = 128 * 1024
RECORD_HEADER_BYTES = 8
MAX_XORB_BYTES = 64 * 1024 * 1024 + MAX_XORB_CHUNKS * RECORD_HEADER_BYTES
"""Of all records. Clients fill a xorb with up to 64 MiB of plain bytes, so that one which does not compress
is larger than that by its headers."""

_VERSION = 1
_HEAD = struct.Struct("<BI")
_BYTES_PER_CHUNK = HASH_BYTES + 8


class Term(msgspec.Struct, frozen=True):
    """A run of chunks [first_chunk, end_chunk) of one xorb, as part of a file."""

    xorb_hash: bytes
    first_chunk: int
    end_chunk: int
    plain_bytes: int


class XorbIndex(msgspec.Struct, frozen=True):
    """Chunks of one xorb in order. Both start lists have one entry more than there are chunks: the end."""

    hashes: bytes
    record_starts: tuple[int, ...]
    plain_starts: tuple[int, ...]

    @classmethod
    def from_lengths(
        cls, hashes: bytes, record_bytes: Sequence[int], plain_bytes: Sequence[int]
    ) -> XorbIndex:
        """Build from concatenated raw hashes and the lengths of each chunk's record and plain bytes."""
        return cls(
            hashes=hashes,
            record_starts=tuple(accumulate(record_bytes, initial=0)),
            plain_starts=tuple(accumulate(plain_bytes, initial=0)),
        )

    @property
    def chunk_count(self) -> int:
        """Number of chunks."""
        return len(self.record_starts) - 1

    @property
    def stored_bytes(self) -> int:
        """Length of the serialised xorb, without a footer."""
        return self.record_starts[-1]

    @property
    def plain_bytes(self) -> int:
        """Sum of the plain lengths."""
        return self.plain_starts[-1]

    def chunk_hash(self, chunk: int) -> bytes:
        """Raw hash of one chunk."""
        self._check_run(chunk, chunk + 1)
        return self.hashes[chunk * HASH_BYTES : (chunk + 1) * HASH_BYTES]

    def chunk_hashes(self) -> list[bytes]:
        """Raw hashes of all the chunks."""
        return [self.hashes[at : at + HASH_BYTES] for at in range(0, len(self.hashes), HASH_BYTES)]

    def byte_range(self, first: int, end: int) -> tuple[int, int]:
        """Where the records of chunks [first, end) lie: start and exclusive stop. Raises Invalid."""
        self._check_run(first, end)
        return self.record_starts[first], self.record_starts[end]

    def plain_length(self, first: int, end: int) -> int:
        """Plain bytes in chunks [first, end). Raises Invalid if there are no such chunks."""
        self._check_run(first, end)
        return self.plain_starts[end] - self.plain_starts[first]

    def leaves(self, first: int, end: int) -> list[Leaf]:
        """Merkle leaves of chunks [first, end). Raises Invalid if there are no such chunks."""
        self._check_run(first, end)
        starts = self.plain_starts
        return [
            (self.hashes[i * HASH_BYTES : (i + 1) * HASH_BYTES], starts[i + 1] - starts[i])
            for i in range(first, end)
        ]

    def verification_hash(self, first: int, end: int) -> bytes:
        """Term verification hash of chunks [first, end). Raises Invalid if there are no such chunks."""
        self._check_run(first, end)
        return verification_hash(memoryview(self.hashes)[first * HASH_BYTES : end * HASH_BYTES])

    def xorb_hash(self) -> bytes:
        """The Merkle root over all the chunks."""
        return merkle_root(self.leaves(0, self.chunk_count))

    def encode(self) -> bytes:
        """The byte form of the module docstring."""
        count = self.chunk_count
        records = [self.record_starts[i + 1] - self.record_starts[i] for i in range(count)]
        plain = [self.plain_starts[i + 1] - self.plain_starts[i] for i in range(count)]
        return _HEAD.pack(_VERSION, count) + self.hashes + struct.pack(f"<{2 * count}I", *records, *plain)

    @classmethod
    def decode(cls, data: bytes) -> XorbIndex:
        """Read the byte form back. Raises CorruptBlock if it is not one."""
        if len(data) < _HEAD.size:
            raise CorruptBlock(f"Xorb index of {len(data)} bytes is too short")
        version, count = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise CorruptBlock(f"Xorb index has unknown version {version}")
        if not 1 <= count <= MAX_XORB_CHUNKS or len(data) != _HEAD.size + count * _BYTES_PER_CHUNK:
            raise CorruptBlock(f"Xorb index of {len(data)} bytes does not fit {count} chunks")
        lengths = struct.unpack_from(f"<{2 * count}I", data, _HEAD.size + count * HASH_BYTES)
        if min(lengths[:count]) <= RECORD_HEADER_BYTES or min(lengths[count:]) < 1:
            raise CorruptBlock("Xorb index holds an impossible length")
        if sum(lengths[:count]) > MAX_XORB_BYTES or max(lengths[count:]) > MAX_CHUNK_BYTES:
            raise CorruptBlock("Xorb index holds an impossible length")
        hashes = data[_HEAD.size : _HEAD.size + count * HASH_BYTES]
        return cls.from_lengths(hashes, lengths[:count], lengths[count:])

    def _check_run(self, first: int, end: int) -> None:
        if not 0 <= first < end <= self.chunk_count:
            raise Invalid(f"Chunks {first} to {end} are not in a xorb of {self.chunk_count} chunks")
