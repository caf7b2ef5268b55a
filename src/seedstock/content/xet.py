"""The Xet side of the hub's content: xorbs and shards in, reconstructions and dedup answers out.

Every call takes the scope of the caller's token; what lies outside it looks as if it were not stored.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator

from seedstock.accounts.secrets import Signer
from seedstock.content import xet_scope
from seedstock.content.service import Content
from seedstock.content.xet_register import Progress, ShardRegistry
from seedstock.content.xet_scope import Access, XetToken
from seedstock.content.xet_terms import decode_terms
from seedstock.content.xet_upload import XorbStore, XorbUpload
from seedstock.core.clock import DAY_MS, Clock
from seedstock.core.errors import EntryNotFound, RangeNotSatisfiable
from seedstock.core.viewer import Viewer
from seedstock.db import xet as rows
from seedstock.db.engine import Database
from seedstock.db.files import ObjectRow
from seedstock.db.repos import RepoRow
from seedstock.db.xet import XorbScope
from seedstock.xet.hashing import hash_from_text, hash_to_text
from seedstock.xet.reconstruct import Reconstruction, reconstruct
from seedstock.xet.shard_writer import encode_dedup_answer, shard_xorb
from seedstock.xet.xorb_index import XorbIndex

DEDUP_LIFETIME_S = 14 * 86_400
_DEDUP_XORBS = 8


class Xet:
    """The content-addressed store as its clients see it."""

    def __init__(self, database: Database, content: Content, signer: Signer, clock: Clock) -> None:
        self._database = database
        self._content = content
        self._signer = signer
        self._clock = clock
        self._indexes = content.xet_reader.indexes
        self._xorbs = XorbStore(database, content.objects, content.staging, self._indexes, clock)
        self._shards = ShardRegistry(database, content.objects, content.xet_reader, clock)

    def mint_token(self, viewer: Viewer, repo: RepoRow, access: Access) -> XetToken:
        """A token for a repo; the caller has checked that the viewer may do that to it."""
        return xet_scope.mint_token(self._signer, self._clock, viewer, repo, access)

    def read_token(self, text: str) -> XetToken:
        """The token that a client sent. Raises InvalidToken."""
        return xet_scope.read_token(self._signer, self._clock, text)

    def receive_xorb(self, scope: XorbScope, hash_text: str) -> XorbUpload:
        """Begin to receive a xorb. Raises Invalid if the hash is malformed."""
        return self._xorbs.receive(scope, hash_from_text(hash_text))

    def holds_xorb(self, scope: XorbScope, hash_text: str) -> bool:
        """Whether the scope may use the xorb and its bytes need not be sent again."""
        return self._xorbs.holds(scope, hash_from_text(hash_text))

    def register_shard(self, scope: XorbScope, body: bytes) -> bool:
        """Register the files of a shard; returns whether any was unknown. Raises BadUpload, TooLarge."""
        steps = self.shard_steps(scope, body)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return bool(done.value)

    def shard_steps(self, scope: XorbScope, body: bytes) -> Generator[Progress, None, bool]:
        """`register_shard` in steps, for callers that report progress."""
        return self._shards.register(scope, body)

    def dedup_answer(self, scope: XorbScope, chunk_text: str) -> bytes:
        """A shard that says where a chunk is stored. Raises EntryNotFound if nowhere in the scope."""
        raw = hash_from_text(chunk_text)
        with self._database.read() as connection:
            found = rows.find_chunk(connection, scope, raw, _DEDUP_XORBS)
        # A damaged xorb is not offered: the client sends the bytes instead, which heals it.
        sound = self._content.objects.intact_keys([row.object_key for row in found]) if found else set()
        found = [row for row in found if row.object_key in sound]
        if not found:
            raise EntryNotFound("Chunk not found")
        at = self._clock()
        # To the day is enough: most queries are then reads alone.
        stale = [row.hash for row in found if row.last_named_at < at - DAY_MS]
        if stale:
            with self._database.write() as connection:
                rows.touch_xorbs(connection, stale, at)
        xorbs = [shard_xorb(hash_from_text(row.hash), XorbIndex.decode(row.index)) for row in found]
        now_s = at // 1000
        return encode_dedup_answer(
            xorbs, key=secrets.token_bytes(32), created_at_s=now_s, expires_at_s=now_s + DEDUP_LIFETIME_S
        )

    def reconstruct(
        self, scope: XorbScope, file_text: str, byte_range: tuple[int, int] | None
    ) -> Reconstruction:
        """Where the bytes of a file of the repo lie. Raises EntryNotFound, RangeNotSatisfiable."""
        hash_from_text(file_text)
        with self._database.read() as connection:
            file = rows.find_file_in_repo(connection, scope.repo_id, file_text)
        if file is None:
            raise EntryNotFound("File not found")
        if byte_range is not None and byte_range[0] >= file.size_bytes:
            raise RangeNotSatisfiable(file.size_bytes)
        terms = decode_terms(file.terms)
        return reconstruct(terms, self._indexes.lookup(term.xorb_hash for term in terms), byte_range)

    def data_query(self, xorb_hash: bytes, start: int, stop: int) -> str:
        """Query string of an address that opens bytes [start, stop) of a xorb to whoever has it."""
        return xet_scope.data_query(self._signer, self._clock, hash_to_text(xorb_hash), start, stop)

    def open_data(self, hash_text: str, span: str, expires: str, tag: str) -> tuple[ObjectRow, int, int]:
        """The stored object and bytes [start, stop) that such an address opens. Raises Forbidden."""
        start, stop = xet_scope.check_data_query(self._signer, self._clock, hash_text, span, expires, tag)
        key = self._indexes.get(hash_from_text(hash_text)).object_key
        return self._content.objects.get(key), start, stop
