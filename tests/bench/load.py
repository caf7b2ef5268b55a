"""A load generator: keep-alive connections driven by one epoll loop, in a process of its own.

Plain sockets and no parsing beyond Content-Length, so that on a small machine most of the time is the
server's. Both sides of every ratio are driven by it in the same way.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import subprocess
import sys
import time

_READ_BYTES = 1 << 20


class _Connection:
    """One connection that always has one request under way."""

    def __init__(self, address: tuple[str, int], request: bytes, *, has_body: bool) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._has_body = has_body
        self._missing = -1
        self._head = b""

    def send(self) -> None:
        self._missing, self._head = -1, b""
        self.socket.sendall(self._request)

    def take(self) -> bool:
        """Read what is there; True when the answer is complete. Raises RuntimeError unless it is a 200."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise RuntimeError("the server closed the connection")
        if self._missing >= 0:
            self._missing -= len(data)
            return self._missing == 0
        self._head += data
        head, mark, body = self._head.partition(b"\r\n\r\n")
        if not mark:
            return False
        if b" 200 " not in head[:16]:
            raise RuntimeError(self._head[:2000].decode("latin-1"))
        self._missing = _content_length(head) - len(body) if self._has_body else 0
        return self._missing == 0


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.index(b"\r\ncontent-length:") + 17
    return int(lowered[at:].partition(b"\r\n")[0])


def generate(
    address: tuple[str, int], method: str, path: str, connections: int, seconds: float, headers: list[str]
) -> float:
    """Requests per second over some connections."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", *headers, "", ""]
    request = "\r\n".join(lines).encode()
    poll = select.epoll()
    opened = {}
    for _ in range(connections):
        connection = _Connection(address, request, has_body=method != "HEAD")
        opened[connection.socket.fileno()] = connection
        poll.register(connection.socket.fileno(), select.EPOLLIN)
        connection.send()
    done = 0
    began = time.perf_counter()
    deadline = began + seconds
    while (now := time.perf_counter()) < deadline:
        for descriptor, _ in poll.poll(1.0):
            if opened[descriptor].take():
                done += 1
                opened[descriptor].send()
    for connection in opened.values():
        connection.socket.close()
    poll.close()
    return done / (now - began)


def requests_per_s(
    address: tuple[str, int],
    path: str,
    *,
    method: str = "GET",
    connections: int = 16,
    seconds: float,
    headers: tuple[str, ...] = (),
) -> float:
    """`generate` in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.load", address[0], str(address[1]), method, path]
    command += [str(connections), str(seconds), *headers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(json.loads(done.stdout))


def main() -> None:
    """The process of `requests_per_s`."""
    parser = argparse.ArgumentParser()
    for name in ("host", "port", "method", "path", "connections", "seconds"):
        parser.add_argument(name)
    parser.add_argument("headers", nargs="*")
    given = parser.parse_args()
    rate = generate(
        (given.host, int(given.port)),
        given.method,
        given.path,
        int(given.connections),
        float(given.seconds),
        given.headers,
    )
    print(json.dumps(rate))


if __name__ == "__main__":
    main()
