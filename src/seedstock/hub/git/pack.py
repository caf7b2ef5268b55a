"""Writes packs (gitformat-pack, version 2) as streams: no deltas, one batch of objects in memory at a time."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import pack_object_header
from dulwich.protocol import (
    SIDE_BAND_CHANNEL_DATA,
    SIDE_BAND_CHANNEL_FATAL,
    pkt_line,
)

from seedstock.core.digests import EMPTY_TREE_OID
from seedstock.core.errors import HubError, MissingBlob
from seedstock.db import git_pack
from seedstock.db.engine import Database
from seedstock.hub.git.contents import Contents

_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_EMPTY_TREE = git_pack.PackedObject(EMPTY_TREE_OID, "tree", 0, zlib.compress(b""))
_BAND_BYTES = 65515
"""Of data in one packet of side-band-64k."""


def pack_stream(database: Database, repo_id: int, contents: Contents) -> Iterator[bytes]:
    """The pack, in pieces. No transaction stays open between them: a slow client holds nothing.

    Stored bytes are copied unchecked; git names every object by hash on arrival, so damage fails the fetch.
    Raises MissingBlob if the repo loses objects meanwhile.
    """
    checksum = hashlib.sha1(usedforsecurity=False)
    piece = b"PACK" + struct.pack(">LL", 2, contents.count)
    checksum.update(piece)
    yield piece
    for batch in contents.batches:
        with database.read() as connection:
            loaded = git_pack.load_packed(connection, repo_id, batch)
        entries: list[bytes] = []
        for oid in batch:
            item = loaded.get(oid, _EMPTY_TREE if oid == EMPTY_TREE_OID else None)
            if item is None:
                raise MissingBlob(f"Git object {oid} went away while it was being sent")
            header = pack_object_header(_TYPES[item.kind], None, item.size_bytes, DEFAULT_OBJECT_FORMAT)
            entries += [bytes(header), item.compressed]
        piece = b"".join(entries)
        checksum.update(piece)
        yield piece
    yield checksum.digest()


def in_side_band(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as packets of the data channel; an error goes to the client in words and ends the stream."""
    try:
        for piece in pieces:
            yield b"".join(
                pkt_line(bytes([SIDE_BAND_CHANNEL_DATA]) + piece[start : start + _BAND_BYTES])
                for start in range(0, len(piece), _BAND_BYTES)
            )
    except HubError as error:
        yield pkt_line(bytes([SIDE_BAND_CHANNEL_FATAL]) + f"{error.message}\n".encode())
        return
    yield pkt_line(None)
