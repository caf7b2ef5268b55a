"""Takes large request bodies in: bounded memory, blocking work in a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.requests import Request

from seedstock.core.errors import HubError, TooLarge
from seedstock.http.threads import in_thread

JOIN_BYTES = 1 << 20
"""Small network pieces are joined to this before the thread hop, which costs as much as hashing 64 KiB."""
_DRAIN_BYTES = 80 << 20
"""A whole Xet body, and some: what is read on after a refusal."""


async def receive(request: Request, sink: Callable[[bytes], None], limit_bytes: int) -> int:
    """Feed a request body to `sink` in pieces of about a MiB; returns its size. Raises TooLarge.

    When the body is refused midway, what the client still sends is read first: it would take a connection
    that closes while it sends for a fault to retry, and never see the answer.
    """
    pieces = aiter(request.stream())
    try:
        return await _feed(pieces, sink, limit_bytes)
    except HubError:
        drained = 0
        async for piece in pieces:
            drained += len(piece)
            if drained > _DRAIN_BYTES:
                break
        raise


async def _feed(pieces: AsyncIterator[bytes], sink: Callable[[bytes], None], limit_bytes: int) -> int:
    waiting: list[bytes] = []
    waiting_bytes = total = 0
    async for piece in pieces:
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
