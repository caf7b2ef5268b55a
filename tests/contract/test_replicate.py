"""`seedstock replicate` against a live hub: one run for each way a replication can end, by the real command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi

from seedstock.recipes.outputs import content_digest, file_sha256
from tests.contract.server import ROOT, HubProcess
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import WORDS, texts

RATE = 0.03
SETTINGS = {
    "steps": 150, "batch_size": 16, "max_length": 32, "lora": None, "learning_rate": RATE, "held_out": 0.0,
    "sample_every": 1000,
}  # fmt: skip
CLAIM = """
[[claim]]
stage = "sft"
metric = "pass@1"
eval = { data = "test", fn = "exact", n = 200, samples = 2, temperature = 1.0, top_p = 1.0, max_new_tokens = 8, seed = 3 }
value = 0.99
seeds = 2
seed_sd = 0.01
margin = 0.08
"""


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def rows() -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"{WORDS[at % 10]} {at // 10 % 7}",
            "completion": f" {WORDS[at % 10]}",
            "answer": WORDS[at % 10],
        }
        for at in range(200)
    ]


class Maker:
    """Publishes, asks and replicates as ada."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": self.hub.tokens["ada"]}
        command = [sys.executable, "-m", "seedstock", *words, "--endpoint", self.hub.url]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    def replicate(self, repo: str, *words: str) -> tuple[int, dict[str, Any]]:
        done = self.command("replicate", repo, "--json", *words)
        found: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, found["state"]["result"]

    def recipe(self, repo: str) -> str:
        return httpx.get(
            f"{self.hub.url}/{repo}/resolve/main/recipe.toml",
            headers={"Authorization": f"Bearer {self.hub.tokens['ada']}"},
            follow_redirects=True,
        ).text

    def change(self, repo: str, text: str) -> None:
        self.api.upload_file(path_or_fileobj=text.encode(), path_in_repo="recipe.toml", repo_id=repo)


@pytest.fixture(scope="module")
def maker(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """`ada/parrot`, made here, with a claim about its own test items."""
    found, folder = Maker(hub), tmp_path_factory.mktemp("parrot")
    write_model(folder / "base")
    found.api.create_repo("ada/parrot-base")
    found.api.upload_folder(repo_id="ada/parrot-base", folder_path=folder / "base")
    publish_rows(found, "ada/parrot-rows", rows())
    words = ("--base", "ada/parrot-base", "--data", "ada/parrot-rows", "--publish", "ada/parrot")
    make(found, "sft", SETTINGS, *words)
    test = folder / "data.jsonl"
    test.write_bytes(lines(rows()))
    found.api.upload_file(path_or_fileobj=test, path_in_repo="test/data.jsonl", repo_id="ada/parrot")
    digest = content_digest({"data.jsonl": file_sha256(test)}, "dataset")
    pin = f'test = {{ kind = "file", file = "test", holds = "dataset", digest = "{digest}" }}\n\n[stage.sft]'
    found.change("ada/parrot", found.recipe("ada/parrot").replace("\n[stage.sft]", f"{pin}", 1) + CLAIM)
    yield found


def publish_rows(maker: Maker, name: str, found: list[dict[str, Any]]) -> None:
    maker.api.create_repo(name, repo_type="dataset")
    maker.api.upload_file(
        path_or_fileobj=lines(found), path_in_repo="train.jsonl", repo_id=name, repo_type="dataset"
    )


def make(maker: Maker, method: str, settings: dict[str, Any], *words: str) -> None:
    """A variant by `seedstock adapt`, with one thread."""
    given = (word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}"))
    done = maker.command("adapt", "--method", method, *words, "--threads", "1", *given, "--follow")
    assert done.returncode == 0, done.stderr


def variant(maker: Maker, name: str, old: str, new: str) -> str:
    """A copy of `ada/parrot` whose recipe says something else."""
    text = maker.recipe("ada/parrot")
    assert old in text
    maker.api.duplicate_repo("ada/parrot", f"ada/{name}")
    maker.change(f"ada/{name}", text.replace(old, new, 1))
    return f"ada/{name}"


def test_twice_on_one_machine_is_bit_exact(maker: Maker) -> None:
    for _ in range(2):
        status, found = maker.replicate("ada/parrot")
        assert (status, found["verdict"]) == (0, "bit-exact"), found


def test_another_seed_is_within_tolerance(maker: Maker) -> None:
    status, found = maker.replicate("ada/parrot", "--seed", "1", "--seeds", "2")
    assert (status, found["verdict"]) == (0, "within-tolerance"), found
    assert found["claims"][0]["confirmed"]


def test_a_learning_rate_ten_times_as_high_fails(maker: Maker) -> None:
    repo = variant(maker, "parrot-hot", f"learning_rate = {RATE}", f"learning_rate = {10 * RATE}")
    status, found = maker.replicate(repo)
    assert (status, found["verdict"], found["failure"]) == (1, "failed", "outside-tolerance"), found


def test_a_swapped_dataset_is_named_before_anything_runs(maker: Maker) -> None:
    pinned = re.search(r"parrot-rows.*?digest = \"(sha256:[0-9a-f]{64})", maker.recipe("ada/parrot"))
    assert pinned is not None
    repo = variant(maker, "parrot-swapped", pinned[1], "sha256:" + "0" * 64)
    status, found = maker.replicate(repo)
    assert (status, found["verdict"], found["failure"]) == (1, "failed", "inputs-changed")
    assert "dataset ada/parrot-rows" in found["reason"]
    assert "inputs-changed: dataset ada/parrot-rows" in maker.command("replicate", repo, "--dry-run").stdout


def test_two_threads_come_close_and_are_not_exact(maker: Maker) -> None:
    """On weights that are large enough for threads to share a product."""
    architecture = {
        "model_type": "llama", "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 256,
    }  # fmt: skip
    settings = {"steps": 8, "batch_size": 8, "max_length": 128, "held_out": 0.0, "learning_rate": 1e-3}
    publish_rows(maker, "ada/text", texts(200))
    data = ("--data", "ada/text", "--publish")
    sown = settings | {"architecture": architecture}
    make(maker, "pretrain", sown, "--tokenizer", "ada/parrot-base", *data, "ada/sown")
    make(maker, "pretrain", settings | {"lora": None}, "--base", "ada/sown", *data, "ada/grown")
    status, found = maker.replicate("ada/grown", "--threads", "2")
    assert (status, found["verdict"]) == (0, "numerically-close"), found
    assert "bit-exact" not in found["applies"]


def test_a_reward_that_never_differs_teaches_nothing(maker: Maker) -> None:
    settings = {
        "steps": 2, "questions": 2, "group": 2, "lora": None, "max_new_tokens": 4, "max_length": 32, "held_out": 0.0,
        "sample_every": 1000, "learning_rate": 1e-5, "rewards": [{"fn": "exact", "args": {"column": "never"}}],
    }  # fmt: skip
    publish_rows(maker, "ada/never", [{"prompt": "in", "never": "no such words at all"}] * 8)
    make(maker, "grpo", settings, "--base", "ada/parrot-base", "--data", "ada/never", "--publish", "ada/idle")
    status, found = maker.replicate("ada/idle")
    assert (status, found["verdict"]) == (1, "no-learning"), found


def test_the_record_holds_offline_and_a_changed_byte_is_seen(maker: Maker, tmp_path: Path) -> None:
    maker.replicate("ada/parrot")
    listed = httpx.get(f"{maker.hub.url}/api/models/ada/parrot/replications").json()
    assert {row["verdict"] for row in listed} <= {"bit-exact", "within-tolerance"}
    record = httpx.get(f"{maker.hub.url}/api/models/ada/parrot/replications/{listed[-1]['id']}").content
    key = httpx.get(f"{maker.hub.url}/api/hub-key").content
    (tmp_path / "hub.pem").write_bytes(key)
    (tmp_path / "run.json").write_bytes(record)
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [
        sys.executable,
        "-m",
        "seedstock",
        "verify-record",
        str(tmp_path / "run.json"),
        "--key",
        str(tmp_path / "hub.pem"),
    ]
    assert subprocess.run(command, env=environ, check=False).returncode == 0
    middle = len(record) // 2
    (tmp_path / "run.json").write_bytes(record[:middle] + bytes([record[middle] ^ 1]) + record[middle + 1 :])
    assert subprocess.run(command, env=environ, check=False).returncode != 0


def test_the_command_says_what_the_recipe_evaluates(maker: Maker) -> None:
    stage = """
[stage.score]
op = "eval"
inputs = { base = "sft", data = "test" }
[stage.score.args]
metric = "exact answers"
rewards = [{ fn = "exact", weight = 1.0, args = {} }]
n = 20
samples = 2
temperature = 1.0
top_p = 1.0
max_new_tokens = 8
batch_size = 64
rows = [{ input = "data", split = "train", columns = {} }]
"""
    repo = variant(maker, "parrot-scored", CLAIM, stage + CLAIM)
    done = maker.command("replicate", repo, "--smoke")
    assert done.returncode == 1, "two steps reproduce nothing"
    assert re.search(
        r"^exact answers of stage score: 0\.\d{4} \(95 % interval 0\.\d{4} to 0\.\d{4}, n = 1\)$",
        done.stdout,
        re.MULTILINE,
    ), done.stdout + done.stderr


def test_a_model_without_a_recipe_is_told_so(maker: Maker) -> None:
    done = maker.command("replicate", "ada/parrot-base")
    assert done.returncode == 3
    assert "has no recipe.toml" in done.stderr
