"""Block checks: one XXH3-128 per MiB of stored bytes, so that any range can be verified on its own.

They find damage (bit rot, truncation, torn writes), not forgery: identity is SHA-256, checked when bytes
come in. XXH3 runs near memory speed here, a cryptographic hash would double the cost of receiving a file.
"""

from __future__ import annotations

from collections.abc import Iterator

import xxhash

from seedstock.core.errors import CorruptBlock

BLOCK_BYTES = 1 << 20
CHECK_BYTES = 16


class CheckWriter:
    """Computes the checks of a stream that comes in pieces of any size."""

    def __init__(self) -> None:
        self._done = bytearray()
        self._block = xxhash.xxh3_128()
        self._room = BLOCK_BYTES

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(piece)
        while len(view) >= self._room:
            self._block.update(view[: self._room])
            view = view[self._room :]
            self._close_block()
        if view:
            self._block.update(view)
            self._room -= len(view)

    def _close_block(self) -> None:
        self._done += self._block.digest()
        self._block = xxhash.xxh3_128()
        self._room = BLOCK_BYTES

    def finish(self) -> bytes:
        """The checks of everything taken, a last short block included."""
        if self._room != BLOCK_BYTES:
            self._close_block()
        return bytes(self._done)


def block_spans(size_bytes: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Blocks that cover [start, stop): number, first byte, end."""
    for number in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
        yield number, number * BLOCK_BYTES, min(size_bytes, (number + 1) * BLOCK_BYTES)


def verify_block(checks: bytes, number: int, block: bytes, key: str) -> None:
    """Raise CorruptBlock unless the block is what was stored."""
    if xxhash.xxh3_128_digest(block) != checks[number * CHECK_BYTES : (number + 1) * CHECK_BYTES]:
        raise CorruptBlock(
            f"Block {number} of stored object {key} is damaged", hint="restore it from a backup"
        )
