"""`seedstock spot-check` against a live hub: a run that kept its checkpoints, checked, tampered with, and forgotten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi
from safetensors.numpy import load_file, save_file

from seedstock.cli.main import cli
from tests.contract.server import ROOT, HubProcess
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations

pytestmark = pytest.mark.xdist_group("spot-check")  # one run serves all
SETTINGS = {
    "steps": 3, "save_every": 1, "batch_size": 4, "max_length": 32, "lora": {"r": 2}, "held_out": 0.0,
    "sample_every": 1000,
}  # fmt: skip


class Checker:
    """Asks by the real command, and by HTTP."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub

    def command(self, *words: str, who: str = "ada") -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": self.hub.tokens[who]}
        command = [sys.executable, "-m", "seedstock", *words, "--endpoint", self.hub.url]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    def get(self, path: str, who: str = "ada", method: str = "GET") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.hub.tokens[who]}"}
        return httpx.request(method, f"{self.hub.url}{path}", headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def checker(hub: HubProcess) -> Checker:
    return Checker(hub)


@pytest.fixture(scope="module")
def number(checker: Checker, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The job of a private variant, `ada/checked`, whose checkpoints are kept."""
    api, folder = (
        HfApi(endpoint=checker.hub.url, token=checker.hub.tokens["ada"]),
        tmp_path_factory.mktemp("spot"),
    )
    write_model(folder / "base")
    api.create_repo("ada/spot-base", private=True)
    api.upload_folder(repo_id="ada/spot-base", folder_path=folder / "base")
    rows = "".join(json.dumps(row) + "\n" for row in conversations(12)).encode()
    api.create_repo("ada/spot-rows", repo_type="dataset", private=True)
    api.upload_file(
        path_or_fileobj=rows, path_in_repo="train.jsonl", repo_id="ada/spot-rows", repo_type="dataset"
    )
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    done = checker.command(
        "adapt", "--method", "sft", "--base", "ada/spot-base", "--data", "ada/spot-rows", "--publish", "ada/checked",
        "--threads", "1", "--keep-checkpoints", *words, "--follow", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["job"])


def tamper(state: Path) -> None:
    """Change a weight in every checkpoint that is kept."""
    for file in state.glob("checkpoint-*/adapter_model.safetensors"):
        values = load_file(file)
        name = min(values)
        save_file(values | {name: values[name] + 1e-3}, file, metadata={"format": "pt"})


def test_a_run_is_checked_and_what_was_tampered_with_is_told(
    checker: Checker, number: int, tmp_path: Path
) -> None:
    state = checker.hub.data / "kept" / str(number) / "state"
    about = checker.get(f"/api/jobs/{number}/spot-checks").json()
    assert (about["kept"]["segments"], about["kept"]["checkable"], about["checks"]) == (3, 3, [])

    done = checker.command("spot-check", str(number))
    assert done.returncode == 0, done.stderr
    said = r"spot-checked: steps (\d) to (\d), one of 3 segments, came out as recorded \([0-9a-f]{12}\)$"
    assert re.search(said, done.stdout, re.MULTILINE), done.stdout

    tamper(state)
    for _ in range(2):  # the beginning needs no checkpoint, and may be drawn first
        done = checker.command("spot-check", str(number), "--json")
        checked = json.loads(done.stdout)
        if checked["segment"]["start"]:
            break
        assert done.returncode == 0, done.stderr
    assert done.returncode == 6, done.stdout
    start = checked["segment"]["start"]
    assert f"the checkpoint at step {start} is not the state of its link" in done.stderr
    finding = checked["state"]["result"]
    assert (finding["agrees"], finding["start_as_recorded"], finding["same_platform"]) == (False, False, True)

    checks = checker.get("/api/models/ada/checked/spot-checks").json()
    assert checks[0]["id"] == checked["job"]
    assert [one["finding"]["agrees"] for one in checks] == [False, *(True for _ in checks[1:])]
    assert len({(one["segment"]["start"], one["segment"]["stop"]) for one in checks}) == len(checks)
    assert {one["ranBy"] for one in checks} == {"ada"}
    assert_signed(checker, checked["job"], tmp_path)
    assert_forgotten(checker, number, checked["job"])


def assert_signed(checker: Checker, number: int, folder: Path) -> None:
    """The record of a check holds offline, and says how it came out."""
    (folder / "record.json").write_bytes(checker.get(f"/api/models/ada/checked/spot-checks/{number}").content)
    (folder / "hub.pem").write_bytes(checker.get("/api/hub-key").content)
    words = ["verify-record", str(folder / "record.json"), "--key", str(folder / "hub.pem")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "verdict: does not agree" in done.output


def assert_forgotten(checker: Checker, number: int, other: int) -> None:
    """Once removed, nothing is left to check, which is told in one line, as of a job that kept nothing."""
    said = f"job {number}: its checkpoints are removed\n"
    assert checker.command("jobs", "forget", str(number)).stdout == said
    assert not (checker.hub.data / "kept" / str(number)).exists()
    for words, text in (
        (("spot-check", str(number)), f"The checkpoints of job {number} are not kept any more"),
        (("jobs", "forget", str(number)), f"The checkpoints of job {number} are not kept any more"),
        (("spot-check", str(other)), f"Job {other} kept no checkpoints"),
    ):
        done = checker.command(*words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert text in done.stderr
    assert len(checker.get("/api/models/ada/checked/spot-checks").json()) >= 2


def test_what_others_may_not_see_is_as_what_is_not_there(checker: Checker, number: int) -> None:
    before = checker.get(f"/api/jobs/{number}/spot-checks").json()
    for method, path in (("POST", "spot-check"), ("GET", "spot-checks"), ("DELETE", "checkpoints")):
        seen, absent = (checker.get(f"/api/jobs/{job}/{path}", "bob", method) for job in (number, 999_999))
        assert seen.status_code == absent.status_code == 404
        assert seen.text.replace(str(number), "N") == absent.text.replace("999999", "N")
    seen, absent = (checker.get(f"/api/models/ada/{name}/spot-checks", "bob") for name in ("checked", "no"))
    assert (seen.status_code, seen.text) == (absent.status_code, absent.text)
    assert seen.status_code in {401, 404}
    reader = checker.command("spot-check", str(number), who="ada-read")
    assert (reader.returncode, reader.stdout) == (4, "")
    assert checker.get(f"/api/jobs/{number}/spot-checks").json() == before
