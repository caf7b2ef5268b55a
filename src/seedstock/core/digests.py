"""Content identities: git object ids, SHA-256 digests, LFS pointers.

`Oid` (git SHA-1) and `Digest` (SHA-256) are distinct types so that they cannot be swapped.
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

import msgspec

Oid = NewType("Oid", str)
"""40 lower-case hex: SHA-1 of a git object."""

Digest = NewType("Digest", str)
"""64 lower-case hex: SHA-256 of plain file bytes, the identity of a large file."""

ZERO_OID = Oid("0" * 40)
EMPTY_TREE_OID = Oid("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,15})\n\Z"
)


class LfsPointer(msgspec.Struct, frozen=True):
    """What a git LFS pointer blob names: the digest and size of the real bytes."""

    digest: Digest
    size_bytes: int

    def encode(self) -> bytes:
        """The canonical pointer text, as git-lfs writes it."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.digest}\nsize {self.size_bytes}\n"
        ).encode()


def git_oid(kind: str, data: bytes) -> Oid:
    """Git object id of `data` as an object of `kind` (blob, tree, commit, tag)."""
    digest = hashlib.sha1(f"{kind} {len(data)}\0".encode(), usedforsecurity=False)
    digest.update(data)
    return Oid(digest.hexdigest())


def is_digest(text: str) -> bool:
    """Whether `text` is a lower-case hex SHA-256."""
    return _HEX64.match(text) is not None


def parse_pointer(data: bytes) -> LfsPointer | None:
    """The pointer that `data` is, or None; only the canonical spelling counts, as for git-lfs."""
    if len(data) > 200:
        return None
    match = _POINTER.match(data)
    if match is None:
        return None
    return LfsPointer(Digest(match[1].decode()), int(match[2]))
