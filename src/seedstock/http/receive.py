"""Takes request bodies in: small ones whole; large ones in bounded memory, blocking work in a thread."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from seedstock.core.errors import TooLarge
from seedstock.http.threads import in_thread

JOIN_BYTES = 1 << 20
"""Small network pieces are joined to this before the thread hop, which costs as much as hashing 64 KiB."""


async def receive(request: Request, sink: Callable[[bytes], None], limit_bytes: int) -> int:
    """Feed a request body to `sink` in pieces of about a MiB; returns its size. Raises TooLarge."""
    waiting: list[bytes] = []
    waiting_bytes = total = 0
    async for piece in request.stream():
        total += len(piece)
        if total > limit_bytes:
            raise TooLarge(f"Request body is over the limit of {limit_bytes} bytes")
        waiting.append(piece)
        waiting_bytes += len(piece)
        if waiting_bytes >= JOIN_BYTES:
            await in_thread(sink, b"".join(waiting))
            waiting, waiting_bytes = [], 0
    if waiting_bytes:
        await in_thread(sink, b"".join(waiting))
    return total


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to pass the limit."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise TooLarge(f"Request body of {announced} bytes is over the limit of {limit_bytes}")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge(f"Request body is over the limit of {limit_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)
