"""What a Xet client would send for some content: one xorb and a shard with one file."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from seedstock.core.digests import Digest
from seedstock.xet.chunk_codec import Scheme
from seedstock.xet.hashing import file_hash, hash_to_text
from seedstock.xet.shard import Shard, ShardFile
from seedstock.xet.shard_writer import encode_shard, shard_xorb
from seedstock.xet.xorb import build_xorb
from seedstock.xet.xorb_index import Term, XorbIndex


@dataclass(frozen=True)
class Upload:
    """A file cut into chunks of one xorb."""

    plain: bytes
    xorb: bytes
    index: XorbIndex
    runs: tuple[tuple[int, int], ...]

    @property
    def xorb_text(self) -> str:
        return hash_to_text(self.index.xorb_hash())

    @property
    def file_text(self) -> str:
        return hash_to_text(self._file_hash())

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.plain).hexdigest()

    def terms(self) -> tuple[Term, ...]:
        raw = self.index.xorb_hash()
        return tuple(Term(raw, first, end, self.index.plain_length(first, end)) for first, end in self.runs)

    def shard(self, claim: str | None = "") -> bytes:
        """The shard; `claim` None leaves the SHA-256 out, "" gives the right one."""
        proofs = tuple(self.index.verification_hash(first, end) for first, end in self.runs)
        sha256 = Digest(self.digest if claim == "" else claim) if claim is not None else None
        file = ShardFile(self._file_hash(), self.terms(), proofs, sha256)
        return encode_shard(Shard((file,), (shard_xorb(self.index.xorb_hash(), self.index),)))

    def _file_hash(self) -> bytes:
        return file_hash(leaf for first, end in self.runs for leaf in self.index.leaves(first, end))


def make_upload(
    seed: int,
    sizes: tuple[int, ...] = (70_000, 9_000, 131_072, 20_000),
    scheme: Scheme = Scheme.GROUPED_LZ4,
    runs: tuple[tuple[int, int], ...] | None = None,
) -> Upload:
    """A reproducible upload; half of each chunk is compressible. `runs` are the terms' chunk ranges."""
    source = random.Random(seed)
    chunks = [source.randbytes(size // 2) + b"\7" * (size - size // 2) for size in sizes]
    body, index = build_xorb(chunks, scheme)
    runs = runs or ((0, len(chunks)),)
    plain = b"".join(chunk for first, end in runs for chunk in chunks[first:end])
    return Upload(plain, body, index, runs)
