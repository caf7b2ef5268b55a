"""Clients of the transfers: the stock huggingface_hub, curl, and a bare keep-alive reader of ranges."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3

from tests.bench.servers import LiveHub

_PIECE_BYTES = 8 << 20


class Spent(msgspec.Struct, frozen=True):
    """Wall time and the CPU time of whoever worked."""

    wall_s: float
    cpu_s: float


def write_file(path: Path, size_bytes: int, seed: int) -> str:
    """Write bytes that neither compress nor repeat; returns their SHA-256."""
    source = np.random.default_rng(seed)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size_bytes, _PIECE_BYTES):
            piece = source.bytes(min(_PIECE_BYTES, size_bytes - start))
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stock_client(hub: LiveHub, home: Path, verb: str, repo: str, path: Path, *, xet: bool) -> float:
    """Seconds that `huggingface_hub` takes to upload or download one file, its own start-up excluded.

    The client's home is fresh, so that it has no chunk and no file in a cache.
    """
    environ = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(home),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.stock", verb, repo, str(path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    shutil.rmtree(home, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return float(json.loads(done.stdout.splitlines()[-1]))


def copy_and_hash(source: Path, target: Path) -> Spent:
    """The floor of an upload: `cp`, sync to disk, SHA-256."""
    before, began = _cpu_s(), time.perf_counter()
    subprocess.run(["cp", str(source), str(target)], check=True)
    subprocess.run(["sync", str(target)], check=True)
    sha256_of(target)
    spent = Spent(time.perf_counter() - began, _cpu_s() - before)
    target.unlink()
    return spent


def hash_twice(path: Path) -> Spent:
    """CPU of hashing a file with SHA-256 and with BLAKE3, one thread, read from the page cache."""
    before, began = time.process_time(), time.perf_counter()
    first, second = hashlib.sha256(), blake3()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            first.update(view[:count])
            second.update(view[:count])
    return Spent(time.perf_counter() - began, time.process_time() - before)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + time.process_time()


def curl_upload(url: str, path: Path) -> float:
    """Seconds of one PUT."""
    began = time.perf_counter()
    subprocess.run(["curl", "--fail", "-sS", "-T", str(path), url], check=True, capture_output=True)
    return time.perf_counter() - began


def curl_download(url: str, size_bytes: int) -> float:
    """Bytes per second of a whole file, thrown away."""
    command = ["curl", "--fail", "-sS", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", url]
    size, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if int(size) != size_bytes:
        raise RuntimeError(f"{url}: {size} bytes, not {size_bytes}")
    return size_bytes / float(seconds)


def range_reads(
    address: tuple[str, int], path: str, size_bytes: int, range_bytes: int, seconds: float, seed: int
) -> float:
    """Bytes per second of ranges at random offsets over one keep-alive connection."""
    offsets = random.Random(seed)
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(1 << 20))
    total, began = 0, time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        start = offsets.randrange(size_bytes - range_bytes)
        head = f"GET {path} HTTP/1.1\r\nHost: {address[0]}\r\nRange: bytes={start}-{start + range_bytes - 1}\r\n\r\n"
        connection.sendall(head.encode())
        missing = range_bytes - _read_head(connection, buffer)
        while missing:
            count = connection.recv_into(buffer)
            if not count:
                raise RuntimeError("the server closed the connection")
            missing -= count
        total += range_bytes
    connection.close()
    return total / (now - began)


def _read_head(connection: socket.socket, buffer: memoryview) -> int:
    """Read the head of an answer; returns how many bytes of its body came along."""
    data = b""
    while b"\r\n\r\n" not in data:
        count = connection.recv_into(buffer)
        if not count:
            raise RuntimeError("the server closed the connection")
        data += bytes(buffer[:count])
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 206 " not in head[:16]:
        raise RuntimeError(head.decode("latin-1"))
    return len(body)
