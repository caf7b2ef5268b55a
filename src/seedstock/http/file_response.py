"""Answers with bytes of stored files: ranges, and the fastest way the server has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seedstock.core.errors import RangeNotSatisfiable
from seedstock.http.threads import iterate_in_thread

FILE_SPAN = "seedstock.filespan"
"""ASGI extension of our Granian adapter: native code sends bytes [start, stop) of a file."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """The single range that a header asks for, as [start, stop); None for the whole file.

    Malformed and multiple ranges are ignored, as RFC 9110 allows. Raises RangeNotSatisfiable.
    """
    match = _RANGE.match((header or "").replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if match[1] == "":
        length = min(int(match[2]), size_bytes)
        if length == 0:
            raise RangeNotSatisfiable(size_bytes)
        return size_bytes - length, size_bytes
    start = int(match[1])
    stop = min(int(match[2]) + 1, size_bytes) if match[2] else size_bytes
    if match[2] and int(match[2]) < start:
        return None
    if start >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return start, stop


class FileSpanResponse(Response):
    """Bytes [start, stop) of a local file, sent by native code where the server offers it."""

    def __init__(self, path: Path, start: int, stop: int, status: int, headers: dict[str, str]) -> None:
        self.path, self.start, self.stop = path, start, stop
        self.status_code = status
        self.background = None
        self.init_headers({**headers, "content-length": str(stop - start)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if FILE_SPAN in scope.get("extensions", {}) and self.stop > self.start:
            await send({"type": FILE_SPAN, "path": str(self.path), "start": self.start, "stop": self.stop})
            return
        async for piece in iterate_in_thread(_read(self.path, self.start, self.stop)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _read(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < stop:
            piece = file.read(min(1 << 20, stop - start))
            if not piece:
                raise OSError(f"{path} is shorter than it was")
            start += len(piece)
            yield piece


class PiecesResponse(Response):
    """Bytes from an iterator that may still find damage: the connection then breaks before the bad byte."""

    def __init__(self, pieces: Iterator[bytes], length: int, status: int, headers: dict[str, str]) -> None:
        # The first piece is read before the headers go out, so that early damage is a clean error.
        self.first = next(pieces, b"")
        self.pieces = pieces
        self.status_code = status
        self.background = None
        self.init_headers({**headers, "content-length": str(length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.first, "more_body": True})
        async for piece in iterate_in_thread(self.pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
