"""Tiny models on the live hub, and what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi

from tests.contract.server import HubProcess
from tests.factories.gguf_model import CHATML, THINKING, TOOLS, write_tiny_llama

CALL = ("sure", "<tool_call>", '\n{"name": "weather", ', '"arguments": {"city": ', '"a"}}\n', "</tool_call>")
THOUGHTS = ("hm", "mm", "\n</think>\n\n", "yes", " sir")
HELLO = ("hello", " there", ", how", " are", " you")
Publish = Callable[..., str]


@pytest.fixture(scope="module")
def publish(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Publish a tiny model of ada's under a name; its id."""
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])

    def publish(name: str, **shape: object) -> str:
        path = write_tiny_llama(
            tmp_path_factory.mktemp("model") / f"{name}-F32.gguf", context_tokens=2048, **shape
        )
        return publish_file(api, f"ada/{name}", path)

    return publish


def publish_file(api: HfApi, repo: str, path: Path) -> str:
    api.create_repo(repo, exist_ok=True)
    api.upload_file(path_or_fileobj=str(path), path_in_repo=path.name, repo_id=repo)
    return repo


def commit_files(http: httpx.Client, repo: str, files: dict[str, bytes], *, private: bool = False) -> str:
    """A new repo with some files in one commit; their commit."""
    name = repo.rpartition("/")[2]
    made = http.post("/api/repos/create", json={"type": "model", "name": name, "private": private})
    made.raise_for_status()
    return add_files(http, repo, files)


def add_files(http: httpx.Client, repo: str, files: dict[str, bytes]) -> str:
    lines: list[dict[str, object]] = [{"key": "header", "value": {"summary": "files"}}]
    for path, data in files.items():
        content = base64.b64encode(data).decode()
        lines.append({"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}})
    body = "\n".join(json.dumps(line) for line in lines)
    kind = {"content-type": "application/x-ndjson"}
    answer = http.post(f"/api/models/{repo}/commit/main", content=body, headers=kind)
    assert answer.status_code == 200, answer.text
    oid: str = answer.json()["commitOid"]
    return oid


@pytest.fixture(scope="module")
def hello(publish: Publish) -> str:
    """Says `hello there, how are you`, and stops."""
    return publish("hello", chat_template=CHATML, script=HELLO)


@pytest.fixture(scope="module")
def thinker(publish: Publish) -> str:
    """Thinks `hmmm`, and says `yes sir`."""
    return publish("thinker", chat_template=THINKING, script=THOUGHTS)


@pytest.fixture(scope="module")
def caller(publish: Publish) -> str:
    """Says `sure`, and calls the tool `weather` for the city `a`."""
    return publish("caller", chat_template=TOOLS, script=CALL)
