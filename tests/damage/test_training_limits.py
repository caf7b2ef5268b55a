"""Training that runs out of memory or disk: it says so, what to change, and leaves nothing half made."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.server import HubProcess
from tests.damage.conftest import settle
from tests.damage.garden import Garden, until

pytestmark = [pytest.mark.skipif("sys.platform != 'linux'"), pytest.mark.xdist_group("training")]
MB = 1_000_000


@pytest.mark.parametrize("limit_mib", [260, 420])
def test_too_little_memory_is_said_with_what_to_change(tmp_path: Path, limit_mib: int) -> None:
    """Importing torch alone takes about 250 MiB; the kernel, which would end anything, is not the one to notice."""
    hub = HubProcess(tmp_path / "data", SEEDSTOCK_ADAPT_MEMORY_BYTES=str(limit_mib << 20))
    settle(hub)
    hub.start()
    try:
        garden = Garden(hub, tmp_path)
        number = garden.start(publish="ada/small")
        job = garden.wait(number)
        assert job["state"] == "dead", job
        assert "memory" in job["error"]
        assert f"{limit_mib} MiB" in job["error"]
        assert "micro_batch_size" in job["error"]
        assert "SEEDSTOCK_ADAPT_MEMORY_BYTES" in job["error"]
        assert "SIGKILL" not in job["error"]
        assert job["attempts"] == 1
        assert not garden.exists("ada/small")
        assert not hub.failures()
    finally:
        hub.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 200 MB; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={200 * MB}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_without_room_for_the_result_costs_no_training(small_disk: Path, tmp_path: Path) -> None:
    hub = HubProcess(small_disk / "data")
    hub.log = tmp_path / "hub.log"  # it must not compete for the space
    settle(hub)
    hub.start()
    try:
        garden = Garden(hub, tmp_path)
        number = garden.start(publish="ada/small")
        garden.checkpoint(number)
        _fill(small_disk, leave_bytes=30 * MB)
        job = garden.wait(number)
        assert job["state"] == "dead", job
        assert re.search(r"The result needs \d+ MB; \d+ MB of the hub's disk are free", job["error"])
        _free_and_retry(garden, number, small_disk)
        said = [entry["data"] for entry in garden.said(number).values() if entry["kind"] == "stage"]
        assert [part.get("state") for part in said].count("running") == 1, "it was trained once"
        assert not hub.failures()
    finally:
        hub.stop()


def test_a_disk_that_fills_up_during_training_is_said_to_be_full(small_disk: Path, tmp_path: Path) -> None:
    """Only that of the checkpoints, so that the database can tell of it."""
    hub = HubProcess(tmp_path / "data")
    settle(hub)
    (hub.data / "jobs").symlink_to(small_disk)
    hub.start()
    try:
        garden = Garden(hub, tmp_path)
        number = garden.start(publish="ada/small")
        step = garden.checkpoint(number)
        _fill(small_disk, leave_bytes=0)
        job = garden.wait(number)
        assert job["state"] == "dead", job
        assert re.search(r"The disk is full: [\d.]+ MB are free where .*retry", job["error"]), job["error"]
        _free_and_retry(garden, number, small_disk)
        assert garden.resumptions(number)[-1] >= step
        assert not hub.failures()
    finally:
        hub.stop()


def _fill(disk: Path, leave_bytes: int) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leave_bytes)
        while leave_bytes == 0:
            file.seek(0, os.SEEK_END)
            file.write(bytes(4096))


def _free_and_retry(garden: Garden, number: int, disk: Path) -> None:
    assert not garden.exists("ada/small")
    (disk / "filler").unlink()
    assert garden.ask("POST", f"/api/jobs/{number}/retry").status_code == 200
    until(lambda: garden.job(number)["state"] == "done")
    assert garden.exists("ada/small")
