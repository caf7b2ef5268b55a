"""An upstream that does what a test says, byte for byte, on a loopback port."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[["Exchange"], None]


class Exchange:
    """One request, and the means to answer it well or badly."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self.method = handler.command
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = handler.rfile.read(int(self.headers.get("content-length", "0")))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def answer(self, status: int, body: Any, **headers: str) -> None:
        """A whole answer; anything but bytes goes as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.begin(status, **{"content_length": str(len(data))} | headers)
        self.send(data)

    def begin(self, status: int = 200, **headers: str) -> None:
        self._handler.send_response(status)
        for name, value in ({"content_type": "application/json", "connection": "close"} | headers).items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def events(self, *events: Any) -> None:
        """A stream that begins so: bytes as they are, Anthropic's events by their type, others as OpenAI's."""
        self.begin(content_type="text/event-stream")
        for event in events:
            self.send(wire(event))

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def gone(self, within_s: float) -> bool:
        """Whether the client hangs up in that time."""
        connection = self._handler.connection
        ready, _, _ = select.select([connection], [], [], within_s)
        with contextlib.suppress(ConnectionError):
            return bool(ready) and connection.recv(1, socket.MSG_PEEK) == b""
        return True


def wire(event: Any) -> bytes:
    if isinstance(event, bytes):
        return event
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


@dataclass
class ScriptedUpstream:
    """Its address, its script, which may be changed at any time, and what it was asked."""

    url: str
    script: Script
    asked: list[Exchange] = field(default_factory=list)


@contextlib.contextmanager
def scripted_upstream(script: Script) -> Iterator[ScriptedUpstream]:
    upstream = ScriptedUpstream("", script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            exchange = Exchange(self)
            upstream.asked.append(exchange)
            with contextlib.suppress(ConnectionError):
                upstream.script(exchange)
            self.close_connection = True

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    upstream.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
