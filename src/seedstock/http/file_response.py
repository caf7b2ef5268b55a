"""Answers with bytes of files: ranges, and the fastest way the server has."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seedstock.core.errors import HubError, RangeNotSatisfiable
from seedstock.http.errors import to_response
from seedstock.http.threads import in_thread, iterate_in_thread

log = logging.getLogger("seedstock.http")

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


class FileSource(Protocol):
    """Where the bytes of a file come from."""

    @property
    def size_bytes(self) -> int:
        """Length of the file."""

    @property
    def data(self) -> bytes | None:
        """The whole content, of a file that is held in memory."""

    def path(self) -> Path | None:
        """A local file that may be sent unread; does not block. None if there is none, or not any more."""

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes [start, stop), verified; blocks. Raises HubError."""


class FileAnswer(Response):
    """A file of which each request takes what it asks for: all, a range, or the headers alone.

    It holds nothing of one request, so that it may be given again.
    """

    def __init__(
        self,
        source: FileSource,
        etag: str,
        headers: dict[str, str],
        on_whole: Callable[[], None] | None = None,
    ) -> None:
        """`on_whole` is called, in a thread, whenever the whole file is asked for."""
        self.status_code = 200
        self.background = None
        self._source = source
        self._etag = etag
        self._plain_headers = {**headers, "Accept-Ranges": "bytes"}
        self._on_whole = on_whole

    @property
    def kept_bytes(self) -> int:
        """About what keeping this answer takes: its headers, and what it holds of the file."""
        return 2048 + len(self._source.data or b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what this request asks for."""
        try:
            response = await self._part(scope["method"], Headers(scope=scope))
        except HubError as error:
            response = to_response(error, anonymous=False)
            if response.status_code >= 500:
                log.error("%s %s: %s", scope["method"], scope["path"], error.message)
        await response(scope, receive, send)

    async def _part(self, method: str, asked: Headers) -> Response:
        size = self._source.size_bytes
        if method == "HEAD":
            return Response(headers={**self._plain_headers, "content-length": str(size)})
        condition = asked.get("if-range")
        holds = condition is None or condition.strip().removeprefix("W/").strip('"') == self._etag
        span = parse_range(asked.get("range"), size) if holds else None
        if self._on_whole is not None and "range" not in asked:
            await in_thread(self._on_whole)
        start, stop = span or (0, size)
        status, headers = 200, self._plain_headers
        if span is not None:
            status, headers = 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        data = self._source.data
        if data is not None:
            return Response(data[start:stop], status, headers)
        path = self._source.path()
        if path is not None:
            return FileSpanResponse(path, start, stop, status, headers)
        return await in_thread(self._read, start, stop, status, headers)

    def _read(self, start: int, stop: int, status: int, headers: dict[str, str]) -> Response:
        return PiecesResponse(iter(self._source.read(start, stop)), stop - start, status, headers)
