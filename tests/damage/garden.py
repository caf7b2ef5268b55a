"""A live hub in which variants are made, the processes that make them, and somebody who follows what they say."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi

from seedstock.cli.job_follower import parse_events
from tests.contract.server import HubProcess
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations

STEPS, SAVE_EVERY, ROWS = 320, 5, 64
_PATIENCE_S = 300

SPEC: dict[str, Any] = {
    "method": "sft",
    "base": "ada/base",
    "data": "ada/rows",
    "settings": {
        "steps": STEPS,
        "save_every": SAVE_EVERY,
        "batch_size": 8,
        "max_length": 64,
        "lora": {"r": 4},
        "learning_rate": 1e-3,
        "eval_every": 80,
    },
}


class Garden:
    """A hub with a base and rows, asked by ada."""

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self.hub = hub
        write_model(folder / "base")
        self.api.create_repo("ada/base")
        self.api.upload_folder(repo_id="ada/base", folder_path=folder / "base")
        rows = "".join(json.dumps(row) + "\n" for row in conversations(ROWS))
        self.publish_rows("ada/rows", rows.encode())

    @property
    def api(self) -> HfApi:
        """Ada's client; the hub may have moved to another port."""
        return HfApi(endpoint=self.hub.url, token=self.hub.tokens["ada"])

    def publish_rows(self, name: str, rows: bytes) -> None:
        """Commit a dataset."""
        self.api.create_repo(name, repo_type="dataset")
        self.api.upload_file(
            path_or_fileobj=rows, path_in_repo="train.jsonl", repo_id=name, repo_type="dataset"
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request of ada's."""
        headers = {"Authorization": f"Bearer {self.hub.tokens['ada']}"} | more.pop("headers", {})
        return httpx.request(
            method, self.hub.url + path, headers=headers, timeout=60, trust_env=False, **more
        )

    def start(self, **changes: Any) -> int:
        """Ask for a variant; the number of the job."""
        answer = self.ask("POST", "/api/adapt", json=SPEC | changes)
        assert answer.status_code == 202, answer.text
        return int(answer.json()["job"])

    def job(self, number: int) -> dict[str, Any]:
        """How a job stands."""
        found: dict[str, Any] = self.ask("GET", f"/api/jobs/{number}").raise_for_status().json()
        return found

    def wait(self, number: int) -> dict[str, Any]:
        """How a job ended."""
        until(lambda: self.job(number)["state"] not in {"queued", "running"})
        return self.job(number)

    def said(self, number: int) -> dict[int, dict[str, Any]]:
        """All that is stored of what a job said, by its id."""
        answer = self.ask("GET", f"/api/jobs/{number}/log", params={"limit": 10000}).raise_for_status()
        return {entry["id"]: entry for entry in answer.json()}

    def resumptions(self, number: int) -> list[int]:
        """The steps from which a job says that it went on."""
        texts = [entry.get("text", "") for entry in self.said(number).values()]
        found = [re.match(r"Going on from step (\d+)", text) for text in texts]
        return [int(match[1]) for match in found if match]

    def shown_to_go_on(self, number: int, times: int) -> None:
        """Wait until a job was shown to go on from a checkpoint so often."""
        until(lambda: len(self.resumptions(number)) == times)

    def exists(self, name: str) -> bool:
        """Whether ada sees a model."""
        return self.ask("GET", f"/api/models/{name}").status_code != 404

    def weights(self, name: str) -> str:
        """SHA-256 of an adapter's weights."""
        tree = self.ask("GET", f"/api/models/{name}/tree/main").raise_for_status().json()
        return next(
            str(entry["lfs"]["oid"]) for entry in tree if entry["path"] == "adapter_model.safetensors"
        )

    def checkpoint(self, number: int, after: int = 0) -> int:
        """Wait for a whole checkpoint beyond a step; its step."""
        folder = self.hub.data / "jobs" / str(number)

        def newest() -> int:
            found = [path.parent.name for path in folder.glob("sft/state/checkpoint-*/complete.json")]
            return max((int(name.rpartition("-")[2]) for name in found), default=0)

        until(lambda: newest() > after, every_s=0.01)
        return newest()

    def trainer(self, number: int, but: int = 0) -> int:
        """Wait for the process that trains for a job, and is not `but`."""
        mark = f"{self.hub.data}/jobs/{number}/"
        found: list[int] = []

        def look() -> bool:
            found[:] = [pid for pid in _trainers() if mark in _command(pid) and pid != but]
            return bool(found)

        until(look)
        return found[0]

    def left_over(self) -> list[str]:
        """Commands of trainers that work for this hub."""
        return [_command(pid) for pid in _trainers() if str(self.hub.data) in _command(pid)]


class Follower:
    """Somebody who reads a job's events, and comes back whenever the stream breaks."""

    def __init__(self, garden: Garden, number: int) -> None:
        self._garden, self._number = garden, number
        self.told: dict[int, dict[str, Any]] = {}
        self.ended = False
        self.breaks = 0
        self._until_s = math.inf
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self.ended and time.monotonic() < self._until_s:
            try:
                self._read()
            except httpx.HTTPError:
                self.breaks += 1
                time.sleep(0.2)

    def _read(self) -> None:
        garden = self._garden
        headers = {
            "Authorization": f"Bearer {garden.hub.tokens['ada']}",
            "Last-Event-ID": str(max(self.told, default=0)),
        }
        url = f"{garden.hub.url}/api/jobs/{self._number}/events"
        with httpx.stream("GET", url, headers=headers, timeout=30, trust_env=False) as answer:
            if answer.status_code != 200:  # the database was away
                time.sleep(0.2)
                return
            for name, number, data in parse_events(answer.iter_lines()):
                if number is not None:
                    assert number not in self.told, "told twice"
                    self.told[number] = data
                self.ended = self.ended or name == "end"

    def finish(self) -> dict[int, dict[str, Any]]:
        """All that it was told, once the job has ended."""
        self._until_s = time.monotonic() + _PATIENCE_S
        self._thread.join(_PATIENCE_S)
        assert self.ended
        return self.told


def until(done: Callable[[], object], every_s: float = 0.1) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < end_s, "it took too long"
        time.sleep(every_s)


def kill(pid: int) -> None:
    """As the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def parent(pid: int) -> int:
    """The process that started one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _trainers() -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if "seedstock.adapt.run_stage" in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
