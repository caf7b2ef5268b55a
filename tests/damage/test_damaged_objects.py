"""Damage to stored bytes: a download breaks or refuses, never lies, and uploading again heals it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.contract.server import HubProcess
from tests.damage.audit import commit, connect, walk

DATA = random.Random(7).randbytes(3_500_000)


def _flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "first byte": lambda path: _flip(path, 0),
    "middle byte": lambda path: _flip(path, 2_000_000),
    "last byte": lambda path: _flip(path, len(DATA) - 1),
    "truncated": lambda path: path.write_bytes(DATA[:1_200_000]),
    "emptied": lambda path: path.write_bytes(b""),
    "grown": lambda path: path.write_bytes(DATA + b"more"),
    "deleted": lambda path: path.unlink(),
}


def _download(http: httpx.Client, **headers: str) -> bytes | None:
    """The file, or None when the server said clearly that it has none to give."""
    try:
        answer = http.get("/ada/one/resolve/main/w.bin", headers=headers)
    except httpx.RemoteProtocolError:
        return None  # broken off before the announced length
    if answer.status_code >= 500:
        assert answer.json()["error"]
        return None
    assert answer.status_code in {200, 206}
    return answer.content


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_never_served_and_an_upload_heals_it(victim: HubProcess, kind: str) -> None:
    victim.expected = [r"damaged|missing|shorter|grown|failed"]
    victim.start()
    with connect(victim) as http:
        http.post("/api/repos/create", json={"name": "ada/one"}).raise_for_status()
        commit(http, "ada/one", {}, {"w.bin": DATA})
        assert _download(http) == DATA
        [stored] = [path for path in (victim.data / "store").rglob("*") if path.is_file()]
        DAMAGE[kind](stored)
        whole = _download(http)
        assert whole in {None, DATA} if kind == "grown" else whole is None
        for first, last in ((0, 99), (1_999_990, 2_000_010), (len(DATA) - 10, len(DATA) - 1)):
            part = _download(http, Range=f"bytes={first}-{last}")
            assert part in {None, DATA[first : last + 1]}
        assert http.get("/ada/one/resolve/main/.gitattributes").status_code == 200
        commit(http, "ada/one", {}, {"again.bin": DATA})
        assert _download(http) == DATA
        assert walk(http) == 3
