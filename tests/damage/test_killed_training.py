"""Training whose processes are killed, one after the other: it goes on from its checkpoint, and nothing shown is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi

from tests.contract.server import HubProcess
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations

STEPS, SAVE_EVERY = 240, 10
_PATIENCE_S = 150


class Garden:
    """A hub with a base and rows, and what its jobs say."""

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self.hub = hub
        self.told: list[int] = []
        write_model(folder / "base")
        self._publish(folder)

    def _publish(self, folder: Path) -> None:
        api = HfApi(endpoint=self.hub.url, token=self.hub.tokens["ada"])
        api.create_repo("ada/base")
        api.upload_folder(repo_id="ada/base", folder_path=folder / "base")
        api.create_repo("ada/rows", repo_type="dataset")
        rows = "".join(json.dumps(row) + "\n" for row in conversations(64)).encode()
        api.upload_file(
            path_or_fileobj=rows, path_in_repo="train.jsonl", repo_id="ada/rows", repo_type="dataset"
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.hub.tokens['ada']}"}
        return httpx.request(method, self.hub.url + path, headers=headers, timeout=60, **more)

    def start(self, name: str) -> int:
        settings = {
            "steps": STEPS, "save_every": SAVE_EVERY, "batch_size": 8, "max_length": 64, "lora": {"r": 4},
            "learning_rate": 1e-3, "eval_every": 80,
        }  # fmt: skip
        spec = {
            "method": "sft",
            "base": "ada/base",
            "data": "ada/rows",
            "publish": name,
            "settings": settings,
        }
        return int(self.ask("POST", "/api/adapt", json=spec).raise_for_status().json()["job"])

    def job(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/api/jobs/{number}").json()
        return found

    def wait(self, number: int) -> dict[str, Any]:
        until(lambda: self.job(number)["state"] not in {"queued", "running"})
        return self.job(number)

    def log(self, number: int) -> str:
        answer = self.ask("GET", f"/api/jobs/{number}/log", params={"format": "text", "limit": 10000})
        return answer.text

    def weights(self, name: str) -> str:
        tree = self.ask("GET", f"/api/models/{name}/tree/main").json()
        return next(entry["lfs"]["oid"] for entry in tree if entry["path"] == "adapter_model.safetensors")

    def follow(self, number: int) -> None:
        """Note every entry that is shown, until the stream breaks or ends."""
        headers = {
            "Authorization": f"Bearer {self.hub.tokens['ada']}",
            "Last-Event-ID": str(max(self.told, default=0)),
        }
        try:
            with httpx.stream(
                "GET", f"{self.hub.url}/api/jobs/{number}/events", headers=headers, timeout=120
            ) as answer:
                self.told += [int(line[3:]) for line in answer.iter_lines() if line.startswith("id:")]
        except httpx.HTTPError:
            return


def until(done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s:
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it took too long")


def find(words: str, folder: Path) -> list[int]:
    """Processes with these words in their command that work for the hub of the folder: themselves or their parents name it."""
    return [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and words in _command(path.name) and _names(path.name, str(folder))
    ]


def _names(pid: str, folder: str) -> bool:
    while pid not in {"0", "1", ""}:
        if folder in _command(pid):
            return True
        try:
            pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            return False
    return False


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def garden(victim: HubProcess, tmp_path: Path) -> Iterator[Garden]:
    victim.start()
    yield Garden(victim, tmp_path)


def test_killed_trainers_go_on_to_the_same_weights(garden: Garden) -> None:
    """The trainer and the process around it are killed in turn; then a run that nobody disturbs is compared."""
    number = garden.start("ada/disturbed")
    follower = threading.Thread(target=garden.follow, args=(number,))
    follower.start()
    for words in ("seedstock.adapt.run_stage", "seedstock.jobs.sandbox_child"):
        before = garden.log(number).count("Going on from step")
        until(lambda seen=words: _checkpoints(garden.hub.data) and bool(find(seen, garden.hub.data)))
        for pid in find(words, garden.hub.data):
            os.kill(pid, signal.SIGKILL)
        until(lambda seen=before: garden.log(number).count("Going on from step") > seen)
        assert garden.ask("GET", "/api/models/ada/disturbed").status_code == 404, "half a repo"
    ended = garden.wait(number)
    assert ended["state"] == "done", ended
    follower.join(60)
    stored = {
        entry["id"] for entry in garden.ask("GET", f"/api/jobs/{number}/log", params={"limit": 10000}).json()
    }
    assert set(garden.told) <= stored | {0}
    assert not find("seedstock.adapt.run_stage", garden.hub.data)
    assert not (garden.hub.data / "jobs" / str(number)).exists()
    calm = garden.start("ada/calm")
    assert garden.wait(calm)["state"] == "done"
    assert garden.weights("ada/disturbed") == garden.weights("ada/calm")


def test_a_killed_server_and_a_locked_database_cost_no_training(garden: Garden) -> None:
    number = garden.start("ada/disturbed")
    until(lambda: _checkpoints(garden.hub.data))
    garden.hub.kill()
    until(lambda: not find("seedstock.adapt.run_stage", garden.hub.data))  # nothing outlives its worker
    garden.hub.start()
    with sqlite3.connect(garden.hub.data / "seedstock.db", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(3)  # nobody can write: heartbeats and events wait
        connection.execute("ROLLBACK")
    ended = garden.wait(number)
    assert ended["state"] == "done", ended
    assert "Going on from step" in garden.log(number)
    assert garden.ask("GET", "/api/models/ada/disturbed").status_code == 200


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (b"", "no rows"),
        (b'{"prompt": "a", "completion": "b"}\n{"prompt": "a"\n', "line 2"),
        (b'{"prompt": "a", "completion": "\xff"}\n', "UTF-8"),
        (b'{"question": "a", "colour": "b"}\n', "colour"),
        (b'{"text": "' + b"x" * 10_500_000 + b'"}\n', "line 1"),
    ],
)
def test_bad_rows_fail_before_weights_load(garden: Garden, rows: bytes, words: str) -> None:
    api = HfApi(endpoint=garden.hub.url, token=garden.hub.tokens["ada"])
    api.create_repo("ada/bad", repo_type="dataset")
    api.upload_file(path_or_fileobj=rows, path_in_repo="train.jsonl", repo_id="ada/bad", repo_type="dataset")
    spec = {"method": "sft", "base": "ada/base", "data": "ada/bad"}
    dry = garden.ask("POST", "/api/adapt?dry_run=true", json=spec)
    assert dry.status_code == 400
    assert words in dry.json()["error"]
    command = [
        sys.executable,
        "-m",
        "seedstock",
        "adapt",
        "--method",
        "sft",
        "--base",
        "ada/base",
        "--data",
        "ada/bad",
    ]
    done = subprocess.run(
        [*command, "--follow", "--endpoint", garden.hub.url, "--token", garden.hub.tokens["ada"]],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert "Loading the base model" not in done.stdout


def _checkpoints(data: Path) -> bool:
    return any(data.glob("jobs/*/*/state/checkpoint-*"))
