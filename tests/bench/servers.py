"""The two servers that are compared: a Seedstock hub and Debian's nginx, each a process tree of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from seedstock.accounts.service import Accounts
from seedstock.core.clock import now_ms
from seedstock.core.viewer import TokenRole
from seedstock.places import open_database
from seedstock.settings import load

SRC = Path(__file__).parents[2] / "src"
_STOP_S = 60


class LiveHub:
    """`seedstock serve` on a folder, with one user."""

    def __init__(self, data: Path, *, user: str = "ada") -> None:
        self.data = data
        self.user = user
        self.token = _make_user(data, user)
        began = time.perf_counter()
        self.process, self.url = start(data)
        self.start_s = time.perf_counter() - began

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def http(self) -> httpx.Client:
        """A client that is signed in."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=600, trust_env=False)

    def create_repo(self, name: str) -> str:
        """Create a model repo."""
        with self.http() as http:
            http.post("/api/repos/create", json={"name": name}).raise_for_status()
        return f"{self.user}/{name}"

    def stored_file(self, digest: str) -> Path:
        """Where a file that was uploaded whole lies."""
        return self.data / "store" / "files" / digest[:2] / digest[2:4] / digest

    def stop(self) -> None:
        """Stop it in order."""
        stop(self.process)


def _make_user(data: Path, name: str) -> str:
    """Add a user; returns a token that may write."""
    database = open_database(load({}, data=data))
    accounts = Accounts(database, now_ms)
    accounts.create_user(name)
    token = accounts.create_token(name, role=TokenRole.WRITE)
    database.close()
    return token


def start(data: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a hub; returns when it says that it is ready."""
    command = [sys.executable, "-m", "seedstock", "serve", "--data", str(data), "--port", "0"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("ready on "):
        raise RuntimeError(f"the hub did not start: {line!r}")
    return process, line.removeprefix("ready on ").strip()


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a hub in order."""
    process.terminate()
    status = process.wait(_STOP_S)
    assert process.stdout is not None
    process.stdout.close()
    if status != 0:
        raise RuntimeError(f"the hub ended with status {status}")


@contextmanager
def live_hub(data: Path) -> Iterator[LiveHub]:
    """A hub on a fresh folder, removed afterwards."""
    hub = LiveHub(data)
    try:
        yield hub
    finally:
        hub.stop()
        shutil.rmtree(data)


def nginx_version() -> str | None:
    """Version of nginx, or None if it is not installed."""
    program = _nginx()
    if program is None:
        return None
    return (
        subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
        .stderr.split("/")[-1]
        .strip()
    )


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[tuple[str, int]]:
    """nginx with sendfile over the files of `root`; yields its address.

    Without `tcp_nopush`, which makes it wait 40 ms at the end of every small range on a loopback connection.
    """
    program = _nginx()
    assert program is not None
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"""{user} daemon off; worker_processes auto; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""
    )
    process = subprocess.Popen([program, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
    try:
        _await_port(port)
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(_STOP_S)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
