"""`kill -9` of the whole server at the worst moments: nothing acknowledged is lost, no ref leads nowhere."""

from __future__ import annotations

import random
import threading
import time

import httpx
import pytest

from tests.contract.server import HubProcess
from tests.damage.audit import commit, connect, upload_large, walk


def _write_until_dead(
    hub: HubProcess, repo: str, acknowledged: list[tuple[str, str, bytes]], seed: int
) -> None:
    """Commit small and large files as fast as possible; note each that was acknowledged."""
    source = random.Random(seed)
    with connect(hub) as http:
        for number in range(10_000):
            data = source.randbytes(source.choice([10, 1000, 60_000, 2_000_000]))
            path = f"{seed}/{number}.bin"
            files = {path: data}
            try:
                oid = commit(http, repo, {}, files) if len(data) > 5000 else commit(http, repo, files)
            except httpx.HTTPError:
                return
            acknowledged.append((oid, path, data))


@pytest.mark.parametrize("delay_s", [0.15, 0.4, 0.9, 1.7])
def test_killed_while_people_upload_and_commit(victim: HubProcess, delay_s: float) -> None:
    victim.start()
    with connect(victim) as http:
        for name in ("one", "two"):
            http.post("/api/repos/create", json={"name": f"ada/{name}"}).raise_for_status()
    acknowledged: dict[str, list[tuple[str, str, bytes]]] = {"ada/one": [], "ada/two": []}
    writers = [
        threading.Thread(target=_write_until_dead, args=(victim, repo, notes, seed))
        for seed, (repo, notes) in enumerate(acknowledged.items())
    ]
    for writer in writers:
        writer.start()
    time.sleep(delay_s)  # the moment of the kill is what the test varies
    victim.kill()
    for writer in writers:
        writer.join()
    victim.start()
    with connect(victim) as http:
        for repo, notes in acknowledged.items():
            for oid, path, data in notes:
                assert http.get(f"/{repo}/resolve/{oid}/{path}").content == data
                assert http.get(f"/{repo}/resolve/main/{path}").content == data
        assert walk(http) >= 2
        commit(http, "ada/one", {"after.txt": b"after"}, {"after.bin": b"after" * 5000})
        assert walk(http) >= 4
    assert not victim.failures()


def test_killed_in_the_middle_of_a_body(victim: HubProcess) -> None:
    victim.start()
    with connect(victim) as http:
        http.post("/api/repos/create", json={"name": "ada/one"}).raise_for_status()
    arrived = threading.Event()

    def body() -> object:
        for number in range(64):
            yield bytes(1 << 20)
            if number == 20:
                arrived.set()

    def send() -> None:
        with connect(victim) as http, pytest.raises(httpx.HTTPError):
            import hashlib

            digest = hashlib.sha256(bytes(64 << 20)).hexdigest()
            request = {"operation": "upload", "objects": [{"oid": digest, "size": 64 << 20}]}
            batch = http.post("/ada/one.git/info/lfs/objects/batch", json=request).json()
            httpx.put(batch["objects"][0]["actions"]["upload"]["href"], content=body(), trust_env=False)  # type: ignore[arg-type]

    sender = threading.Thread(target=send)
    sender.start()
    assert arrived.wait(30)
    victim.kill()
    sender.join()
    victim.start()
    with connect(victim) as http:
        upload_large(http, "ada/one", bytes(1 << 20))
        assert walk(http) == 1


def test_killed_while_it_starts_on_a_new_folder(victim: HubProcess) -> None:
    for delay_s in (0.3, 0.6, 0.8, 1.0):
        victim.start(wait=False)
        time.sleep(delay_s)
        victim.kill()
    victim.start()
    with connect(victim) as http:
        http.post("/api/repos/create", json={"name": "ada/one"}).raise_for_status()
        assert walk(http) == 1
    assert not victim.failures()
