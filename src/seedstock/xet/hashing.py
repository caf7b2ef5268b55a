"""Xet hashes: BLAKE3 keyed by purpose, their text form, and the Merkle rule over chunk lists.

Inside Seedstock a Xet hash is always the 32 raw bytes; the swapped text form exists only in URLs, JSON
and the Merkle text itself.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence

from blake3 import blake3

from seedstock.core.errors import Invalid

HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)
"""File hash of the empty file."""

_DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_VERIFY_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")

_GROUPS = struct.Struct("<4Q")
_TEXT = re.compile(r"[0-9a-f]{64}\Z")
_MIN_CHILDREN = 3
_MAX_CHILDREN = 9
_CUT_DIVISOR = 4

Leaf = tuple[bytes, int]
"""A node of the Merkle tree: raw hash and plain size in bytes."""


def hash_to_text(raw: bytes) -> str:
    """The text form: four little-endian 64-bit groups, each printed as 16 hex digits."""
    return swap_groups(raw).hex()


def hash_from_text(text: str) -> bytes:
    """The raw bytes of a text form. Raises Invalid unless it is 64 lower-case hex digits."""
    if _TEXT.match(text) is None:
        raise Invalid(f"Invalid Xet hash: {text[:80]!r}", hint="64 lower-case hex digits")
    return swap_groups(bytes.fromhex(text))


def swap_groups(raw: bytes) -> bytes:
    """Reverse each 8-byte group: turns a shard's SHA-256 field into the ordinary digest and back."""
    return struct.pack(">4Q", *_GROUPS.unpack(raw))


def chunk_hash(chunk: bytes | memoryview) -> bytes:
    """Hash of one chunk's plain bytes."""
    return blake3(chunk, key=_DATA_KEY).digest()


class MerkleTree:
    """Aggregates leaves as they come, holding at most one open group per level.

    A group closes at a node that cuts, counted from the third, or at nine nodes; what is left open at the
    end closes as it is.
    """

    def __init__(self) -> None:
        self._open: list[list[Leaf]] = [[]]
        self.leaf_count = 0

    def extend(self, leaves: Iterable[Leaf]) -> None:
        """Add leaves in order."""
        for leaf in leaves:
            self.leaf_count += 1
            self._add(0, leaf)

    def root(self) -> bytes:
        """Close every group and return the root; the tree is spent. No leaves give ZERO_HASH."""
        level = 0
        while level < len(self._open) - 1:
            if self._open[level]:
                self._close(level)
            level += 1
        # The top level has closed no group yet, so its nodes are all that exist at that height.
        while len(self._open[-1]) > 1:
            self._close(len(self._open) - 1)
        return self._open[-1][0][0] if self._open[-1] else ZERO_HASH

    def _add(self, level: int, node: Leaf) -> None:
        group = self._open[level]
        group.append(node)
        # The last 8 bytes as a little-endian integer modulo 4 are the low bits of byte 24.
        cuts = len(group) >= _MIN_CHILDREN and node[0][24] % _CUT_DIVISOR == 0
        if cuts or len(group) == _MAX_CHILDREN:
            self._close(level)

    def _close(self, level: int) -> None:
        group = self._open[level]
        self._open[level] = []
        if level + 1 == len(self._open):
            self._open.append([])
        self._add(level + 1, _parent(group))


def merkle_root(leaves: Iterable[Leaf]) -> bytes:
    """Root over chunks in order: the xorb hash. One leaf is its own root; none gives ZERO_HASH."""
    tree = MerkleTree()
    tree.extend(leaves)
    return tree.root()


def file_hash(leaves: Iterable[Leaf]) -> bytes:
    """Hash of a file from all its chunks in order."""
    tree = MerkleTree()
    tree.extend(leaves)
    return file_hash_of(tree)


def file_hash_of(tree: MerkleTree) -> bytes:
    """Hash of the file whose chunks a tree was given; the tree is spent."""
    root = tree.root()
    return blake3(root, key=ZERO_HASH).digest() if tree.leaf_count else ZERO_HASH


def verification_hash(chunk_hashes: bytes | memoryview) -> bytes:
    """Hash of a term from its raw chunk hashes, concatenated: proof of knowing the chunks."""
    return blake3(chunk_hashes, key=_VERIFY_KEY).digest()


def keyed_chunk_hash(key: bytes, raw: bytes) -> bytes:
    """A chunk hash as a global-dedup answer shows it, recognisable only to who has the chunk."""
    return blake3(raw, key=key).digest()


def _parent(children: Sequence[Leaf]) -> Leaf:
    """The node above `children`."""
    text = "".join([f"{hash_to_text(raw)} : {size}\n" for raw, size in children])
    return blake3(text.encode(), key=_NODE_KEY).digest(), sum(size for _, size in children)
