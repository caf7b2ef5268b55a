"""A full disk: uploads fail with a clear 503, reads go on, nothing is corrupted, and space heals it."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.server import HubProcess
from tests.damage.audit import commit, connect, walk
from tests.damage.conftest import settle


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _refused(error: httpx.HTTPStatusError) -> None:
    answer = error.response
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.headers["retry-after"]
    assert answer.json()["error"]


def test_a_full_disk(small_disk: Path) -> None:
    hub = HubProcess(small_disk / "data")
    hub.log = small_disk.with_name("disk.log")  # the log must not compete for the space
    hub.expected = [r"Cannot (write|store)|database failed|disk"]
    settle(hub)
    hub.start()
    try:
        with connect(hub) as http:
            http.post("/api/repos/create", json={"name": "ada/one"}).raise_for_status()
            commit(http, "ada/one", {"small.txt": b"before"}, {"large.bin": b"before" * 100_000})
            filler = small_disk / "filler"
            with pytest.raises(httpx.HTTPStatusError) as refusal:
                commit(http, "ada/one", {}, {"huge.bin": bytes(30_000_000)})
            _refused(refusal.value)
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(bytes(4096))
            for number in range(3):
                with pytest.raises(httpx.HTTPStatusError) as refusal:
                    commit(
                        http, "ada/one", {f"{number}.txt": b"x" * 200_000}, {f"{number}.bin": b"y" * 90_000}
                    )
                _refused(refusal.value)
            for number in range(3):
                with pytest.raises(httpx.HTTPStatusError) as refusal:
                    import random

                    commit(http, "ada/one", {f"{number}.txt": random.Random(number).randbytes(2_000_000)})
                _refused(refusal.value)
            assert http.get("/ada/one/resolve/main/large.bin").content == b"before" * 100_000
            assert walk(http) == 3
            filler.unlink()
            commit(http, "ada/one", {"after.txt": b"after"}, {"after.bin": b"after" * 10_000})
            assert walk(http) == 5
        hub.kill()
        hub.start()
        with connect(hub) as http:
            assert walk(http) == 5
        assert not hub.failures()
    finally:
        hub.stop()


def test_a_file_size_limit(victim: HubProcess) -> None:
    """The same without mounting: no file may grow beyond 8 MB."""
    victim.expected = [r"Cannot (write|store)"]
    victim.start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000)))
    with connect(victim) as http:
        http.post("/api/repos/create", json={"name": "ada/one"}).raise_for_status()
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            commit(http, "ada/one", {}, {"huge.bin": bytes(9_000_000)})
        _refused(refusal.value)
        commit(http, "ada/one", {"small.txt": b"x"}, {"fits.bin": bytes(7_000_000)})
        assert walk(http) == 3
        assert not list((victim.data / "incoming").rglob("*"))
    assert not victim.failures()
