"""A slow client costs the hub no memory, and one that hangs up leaves nothing behind."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from seedstock.http.piped import OPENING_S
from tests.contract.clients import OWN, Client
from tests.contract.server import HubProcess

SIZE = 96 << 20
REPO = "ada/slow"


def pss_bytes(hub: HubProcess) -> int:
    """Proportional memory of every process of the hub."""
    total = 0
    for pid in hub.pids():
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            continue
    return total


def web_processes(hub: HubProcess) -> list[int]:
    """Those that answer requests: the others have pipes of their own to their jobs and engines."""
    companions = (b"worker", b"seedstock.run.supervisor")
    found = []
    for pid in hub.pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if not any(name in arguments for name in companions):
            found.append(pid)
    assert len(found) > 1
    return found


@pytest.fixture(scope="module")
def path(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file that the hub has to decode: it exists as Xet chunks only."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "big.bin").write_bytes(os.urandom(SIZE))
    client = Client(OWN, hub.url, hub.tokens["ada"], folder / "home", True)
    done = client.python(
        "-c",
        "from huggingface_hub import HfApi\n"
        f"api = HfApi()\napi.create_repo({REPO!r})\n"
        f"api.upload_file(path_or_fileobj={str(folder / 'big.bin')!r}, path_in_repo='big.bin', repo_id={REPO!r})",
    )
    assert done.returncode == 0, done.text
    return f"/{REPO}/resolve/main/big.bin"


def begin(hub: HubProcess, path: str) -> socket.socket:
    """Ask for the file with a small receive buffer and read nothing of the body."""
    address = urlsplit(hub.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    connection.connect((address.hostname, address.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n".encode())
    return connection


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def test_a_client_that_does_not_read_costs_no_memory(hub: HubProcess, path: str) -> None:
    before = pss_bytes(hub)
    with begin(hub, path) as connection:
        assert connection.recv(16).startswith(b"HTTP/1.1 200")
        grown = until(lambda: pss_bytes(hub) - before > SIZE // 2, 3)
        assert not grown, f"{(pss_bytes(hub) - before) >> 20} MiB more"
        got = 16
        while piece := connection.recv(1 << 20):
            got += len(piece)
    assert got > SIZE


def test_clients_that_hang_up_leave_no_pipes(hub: HubProcess, path: str) -> None:
    def open_pipes() -> int:
        found = 0
        for pid in web_processes(hub):
            try:
                links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found += sum(link.startswith("pipe:") for link in links)
        return found

    before = open_pipes()
    for _ in range(8):
        with begin(hub, path) as connection:
            connection.recv(4096)
    assert until(lambda: open_pipes() <= before, OPENING_S + 15), f"{open_pipes()} pipes, {before} before"
