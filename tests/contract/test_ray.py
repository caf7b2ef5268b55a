"""Stages on a real Ray cluster of this machine: the same bytes as without it, the same errors, the same resumption."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt.launch import LocalLauncher
from tests.contract.server import ROOT, HubProcess
from tests.damage.conftest import settle
from tests.damage.garden import SPEC, Garden
from tests.unit.adapt.stages import conversations, lay_out
from tests.unit.jobs.conftest import is_alive

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`"),
    pytest.mark.xdist_group("ray"),  # one at a time: they look for the processes of their stages
]
_START_S = 300
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",  # its 30 s are short for two busy cores
}
ENVIRON = {**os.environ, **RAY, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of one node. The test that kills an actor is the last: after it, clients may be refused for minutes."""
    port, client = free_port(), free_port()
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie below it
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}",
        f"--ray-client-server-port={client}", "--num-cpus=2", "--include-dashboard=false",
        "--node-ip-address=127.0.0.1", "--disable-usage-stats", "--object-store-memory=100000000",
        f"--temp-dir={folder}",
    ]  # fmt: skip
    with (Path(folder) / "head.log").open("w") as log:
        head = subprocess.Popen(command, env=ENVIRON, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(client)
        yield f"ray://127.0.0.1:{client}"
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(head.pid, number)
            time.sleep(1)
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        with socket.socket() as found:
            if found.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    raise AssertionError("the cluster did not start")


def run(address: str, work: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("ray_driver.py")), address, str(work), *more]
    done = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=False, timeout=400)
    assert done.stdout, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def stage(work: Path, **args: Any) -> Path:
    settings = {"steps": 8, "save_every": 2, "batch_size": 4, "max_length": 64, "lora": {"r": 4}, **args}
    return lay_out(work, "sft", conversations(24), **settings)


def weights(work: Path) -> str:
    return hashlib.sha256((work / "output" / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_a_stage_gives_the_same_bytes_stopped_and_resumed_on_the_cluster_as_here(
    cluster: str, tmp_path: Path
) -> None:
    here, there = stage(tmp_path / "here", steps=30), stage(tmp_path / "there", steps=30)
    LocalLauncher().run(here, lambda _event: None, lambda: False)
    stopped = run(cluster, there, "stop")
    assert stopped.get("stopped"), stopped
    assert any((there / "state").glob("checkpoint-*"))
    found = run(cluster, there)
    assert found["result"]["steps"] == 30
    assert any("Going on from step" in text for text in found["logs"])
    assert found["metrics"] > 0
    assert weights(here) == weights(there)


def test_what_is_wrong_with_the_rows_is_told_as_without_a_cluster(cluster: str, tmp_path: Path) -> None:
    work = stage(tmp_path / "bad")
    (work / "inputs" / "data" / "train.jsonl").write_text('{"messages": \n')
    found = run(cluster, work)
    assert "train.jsonl" in found["failed"]
    assert "line 1" in found["failed"]


def test_a_cluster_that_is_not_there_is_told_soon(tmp_path: Path) -> None:
    began_s = time.monotonic()
    found = run(f"ray://127.0.0.1:{free_port()}", stage(tmp_path / "none"))
    assert "does not answer" in found["unavailable"]
    assert time.monotonic() - began_s < 60


def test_a_hub_s_job_trains_on_the_cluster(cluster: str, tmp_path: Path) -> None:
    hub = HubProcess(tmp_path / "data", SEEDSTOCK_LAUNCHER=cluster, **RAY)
    settle(hub)
    hub.start()
    try:
        garden = Garden(hub, tmp_path)
        number = garden.start(publish="ada/far", settings=SPEC["settings"] | {"steps": 20, "save_every": 10})
        _wait_until(_trainers)
        _wait_until(lambda: garden.job(number)["state"] not in {"queued", "running"})
        assert garden.job(number)["state"] == "done", garden.said(number)
        assert garden.weights("ada/far")
        record = garden.ask("GET", "/ada/far/raw/main/recipe.toml").text
        assert "ray" not in record, "a recipe says what is made, not where"
    finally:
        hub.stop()


def test_a_killed_actor_is_told_and_the_stage_goes_on_elsewhere(cluster: str, tmp_path: Path) -> None:
    here, there = stage(tmp_path / "here", steps=60), stage(tmp_path / "there", steps=60)
    LocalLauncher().run(here, lambda _event: None, lambda: False)
    command = [sys.executable, str(Path(__file__).with_name("ray_driver.py")), cluster, str(there)]
    with subprocess.Popen(command, env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as driver:
        _wait_until(lambda: any((there / "state").glob("checkpoint-*/complete.json")))
        (trainer,) = _trainers()
        os.kill(_parent(trainer), signal.SIGKILL)
        _wait_until(lambda: not is_alive(trainer))
        said, _ = driver.communicate(timeout=300)
    ended = json.loads(said.splitlines()[-1])
    assert "The cluster lost the stage" in ended["died"], ended
    found = run(cluster, there)
    assert found["result"]["steps"] == 60
    assert any("Going on from step" in text for text in found["logs"])
    assert weights(here) == weights(there)


def _trainers() -> list[int]:
    """The processes of the stages that the cluster runs."""
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if all(mark in _command(process) for mark in ("adapt.run_stage", "/seedstock-stage-"))
    ]


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _wait_until(done: Callable[[], object]) -> None:
    end_s = time.monotonic() + _START_S
    while not done():
        assert time.monotonic() < end_s, "it took too long"
        time.sleep(0.05)
