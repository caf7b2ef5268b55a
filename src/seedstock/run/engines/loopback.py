"""One question to an engine child over loopback, without an HTTP client in the supervisor; and a child's answer."""

from __future__ import annotations

import asyncio
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import msgspec

from seedstock.run.engines.base import Endpoint


async def answers_ok(endpoint: Endpoint, path: str, *, timeout_s: float = 5.0) -> bool:
    """Whether `GET path` gives status 200 within `timeout_s`."""
    url = urlsplit(endpoint.base_url)
    request = f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\nAuthorization: Bearer {endpoint.api_key}\r\n\r\n"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            try:
                writer.write(request.encode())
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status_line.split()[1:2] == [b"200"]


def send_json(handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
    """Answer in one piece."""
    data = msgspec.json.encode(body)
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
