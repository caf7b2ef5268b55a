"""Terms of a Xet file as the database column holds them.

48-byte records, little-endian: raw xorb hash (32), first chunk, end chunk, plain bytes, zero (u32 each).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from seedstock.core.errors import CorruptBlock
from seedstock.xet.xorb_index import Term

_RECORD = struct.Struct("<32sIIII")


def encode_terms(terms: Iterable[Term]) -> bytes:
    """The byte form of terms in order."""
    return b"".join([_RECORD.pack(t.xorb_hash, t.first_chunk, t.end_chunk, t.plain_bytes, 0) for t in terms])


def decode_terms(data: bytes) -> tuple[Term, ...]:
    """Read the byte form back. Raises CorruptBlock if it is not one."""
    if len(data) % _RECORD.size:
        raise CorruptBlock(f"Term list of {len(data)} bytes does not consist of whole records")
    return tuple([Term(raw, first, end, plain) for raw, first, end, plain, _ in _RECORD.iter_unpack(data)])
