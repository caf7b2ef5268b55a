"""Runs the ASGI application on Granian's native interface (RSGI).

Two things make this worth its lines: RSGI can send a range of a file from native code, which ASGI cannot
(asgiref issue 538), and its calls are cheaper. Under any other server the same application runs as plain
ASGI. Paths reach RSGI percent-decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from granian.rsgi import HTTPProtocol, ProtocolClosed  # type: ignore[attr-defined]
from granian.rsgi import Scope as RsgiScope
from starlette.types import ASGIApp, Message, Scope

from seedstock.http.file_response import FILE_SPAN
from seedstock.http.piped import PIPED_FROM_BYTES, PipedBody

_EXTENSIONS: dict[str, dict[str, object]] = {FILE_SPAN: {}}
_DRAIN_BYTES = 80 << 20
"""A whole Xet body, and some: what is read on after an answer that did not need it."""


class RsgiApp:
    """An RSGI application that wraps an ASGI one."""

    def __init__(self, app: ASGIApp, on_start: Callable[[], None], on_stop: Callable[[], None]) -> None:
        self._app = app
        self._on_start = on_start
        self._on_stop = on_stop

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._on_start()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._on_stop()

    async def __rsgi__(self, scope: RsgiScope, protocol: HTTPProtocol) -> None:
        """Serve one request; web sockets are not spoken here."""
        if scope.proto != "http":
            protocol.close(404)  # type: ignore[attr-defined]
            return
        exchange = _Exchange(protocol, _sends_body(scope))
        try:
            await self._app(_asgi_scope(scope), exchange.receive, exchange.send)
        finally:
            exchange.close()


def _asgi_scope(scope: RsgiScope) -> Scope:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()]
    if scope.authority and "host" not in scope.headers:
        headers.append((b"host", scope.authority.encode()))
    client, _, client_port = scope.client.rpartition(":")
    server, _, server_port = scope.server.rpartition(":")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "raw_path": None,
        "query_string": scope.query_string.encode("latin-1"),
        "root_path": "",
        "headers": headers,
        "client": (client, int(client_port or 0)),
        "server": (server, int(server_port or 0)),
        "extensions": _EXTENSIONS,
        "state": {},
    }


def _sends_body(scope: RsgiScope) -> bool:
    """Whether the client is sending a body, rather than waiting to be told to (100-continue)."""
    headers = scope.headers
    if "expect" in headers:
        return False
    return "transfer-encoding" in headers or (headers.get("content-length") or "0") != "0"


class _Exchange:
    """ASGI's receive and send over one RSGI protocol object."""

    def __init__(self, protocol: HTTPProtocol, sends_body: bool) -> None:
        self._protocol: Any = protocol
        self._pieces: Any = None
        self._body_read = False
        self._body_left = sends_body
        self._start: Message | None = None
        self._transport: Any = None
        self._piped: PipedBody | None = None

    async def receive(self) -> Message:
        if self._body_read:
            await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        if self._pieces is None:
            self._pieces = aiter(self._protocol)
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._body_read = True
            self._body_left = False
            return {"type": "http.request", "body": b"", "more_body": False}
        except (ProtocolClosed, RuntimeError):
            self._body_left = False
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def _drain(self) -> None:
        """Read what a refused request still sends, before it is answered.

        The server closes a connection whose request was not read to its end. A client that is still sending
        takes that for a fault to retry and never sees the answer; one that has sent its next request on the
        same connection loses that one.
        """
        drained = 0
        while self._body_left and drained <= _DRAIN_BYTES:
            drained += len((await self.receive()).get("body", b""))

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            await self._drain()
            self._start = message
            return
        assert self._start is not None
        status = self._start["status"]
        try:
            if kind == FILE_SPAN:
                self._protocol.response_file_range(
                    status, self._headers(), message["path"], message["start"], message["stop"]
                )
            elif self._piped is not None:
                await self._pipe(message)
            elif self._transport is not None:
                await self._continue(message)
            elif message.get("more_body") and self._length() >= PIPED_FROM_BYTES:
                self._piped = PipedBody(self._protocol, status, self._headers())
                await self._pipe(message)
            elif message.get("more_body"):
                self._transport = self._protocol.response_stream(status, self._headers())
                await self._continue(message)
            else:
                self._protocol.response_bytes(status, self._headers(), bytes(message.get("body", b"")))
        except ProtocolClosed as error:
            raise ConnectionResetError("client disconnected") from error

    async def _continue(self, message: Message) -> None:
        body = message.get("body", b"")
        if body:
            await self._transport.send_bytes(bytes(body) if not isinstance(body, bytes) else body)

    async def _pipe(self, message: Message) -> None:
        assert self._piped is not None
        await self._piped.write(message.get("body", b""))

    def _length(self) -> int:
        """The announced length of the body; 0 if there is none."""
        assert self._start is not None
        lengths = [value for name, value in self._start["headers"] if name.lower() == b"content-length"]
        return int(lengths[0]) if lengths else 0

    def close(self) -> None:
        """Let go of the stream: one that is not complete then breaks, instead of hanging till a time limit."""
        if self._piped is not None:
            self._piped.close()
        self._transport = None
        self._protocol = None

    def _headers(self) -> list[tuple[str, str]]:
        assert self._start is not None
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._start["headers"]]
