"""`seedstock convert` against a live hub: a process publishes what the command asked for."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
from huggingface_hub import snapshot_download

from seedstock.recipes.reading import read_recipe
from tests.contract.server import ROOT, HubProcess
from tests.factories.hf_model import TOKENIZER_CONFIG, config, safetensors_bytes, tokenizer_json, weights

SETTINGS = config("qwen2")


def _command(hub: HubProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _seedstock(hub, "convert", *arguments, "--endpoint", hub.url)


def _seedstock(hub: HubProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": hub.tokens["bob"]}
    command = [sys.executable, "-m", "seedstock", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def _publish(http: httpx.Client, name: str) -> None:
    http.post("/api/repos/create", json={"type": "model", "name": name}).raise_for_status()
    files = {
        "README.md": b"---\nlicense: mit\n---\n",
        "config.json": json.dumps(SETTINGS).encode(),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": TOKENIZER_CONFIG,
        "model.safetensors": safetensors_bytes(weights(SETTINGS)),
    }
    lines: list[dict[str, object]] = [{"key": "header", "value": {"summary": "a model"}}]
    for path, data in files.items():
        content = base64.b64encode(data).decode()
        lines.append({"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}})
    body = "\n".join(json.dumps(line) for line in lines)
    answer = http.post(
        f"/api/models/ada/{name}/commit/main", content=body, headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 200, answer.text


def test_a_model_is_converted_and_published(hub: HubProcess, http: httpx.Client) -> None:
    _publish(http, "to-convert")
    dry = _command(hub, "ada/to-convert", "--to", "Q8_0", "--dry-run")
    assert dry.stdout.startswith("bob/to-convert-GGUF: to-convert-Q8_0.gguf, "), dry.stderr
    done = _command(hub, "ada/to-convert", "--to", "Q8_0", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["state"]["result"]["size"] == answer["size"]
    info = http.get("/api/models/bob/to-convert-GGUF").json()
    assert info["sha"] == answer["state"]["result"]["commit"]
    assert info["cardData"]["base_model"] == "ada/to-convert"


def test_what_was_converted_is_replicated_verified_and_pinned_by_the_real_commands(
    hub: HubProcess, http: httpx.Client, tmp_path: Path
) -> None:
    _publish(http, "born")
    for to in ("Q8_0", "F16"):
        done = _command(hub, "ada/born", "--to", to, "--wait")
        assert done.returncode == 0, done.stderr
    done = _seedstock(hub, "replicate", "bob/born-GGUF", "--endpoint", hub.url)
    assert done.returncode == 0, done.stderr
    for name in ("born-q8_0 (born-Q8_0.gguf)", "born-f16 (born-F16.gguf)"):
        assert f"{name}: bit-exact: every tensor is equal, and every file" in done.stdout
    folder = Path(
        snapshot_download(
            "bob/born-GGUF", endpoint=hub.url, token=hub.tokens["bob"], local_dir=tmp_path / "born"
        )
    )
    shutil.rmtree(folder / ".cache")
    key = tmp_path / "hub.pem"
    key.write_bytes(http.get("/api/hub-key").content)
    record = str(folder / "born-Q8_0.gguf.run-record.dsse.json")
    verify = ("verify-record", record, "--key", str(key), "--outputs", str(folder))
    assert _seedstock(hub, *verify).returncode == 0
    weights = folder / "born-Q8_0.gguf"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert _seedstock(hub, *verify).returncode == 6
    text = (folder / "recipe.toml").read_text()
    unpinned = re.sub(r' (revision|digest) = "[^"]*",', "", text)
    assert unpinned != text
    (folder / "recipe.toml").write_text(unpinned)
    done = _seedstock(hub, "recipe", "pin", str(folder / "recipe.toml"), "--endpoint", hub.url)
    assert done.returncode == 0, done.stderr
    assert read_recipe((folder / "recipe.toml").read_text()) == read_recipe(text)


def test_what_cannot_be_done_is_one_line(hub: HubProcess, http: httpx.Client) -> None:
    _publish(http, "not-to-convert")
    refused = _command(hub, "ada/not-to-convert", "--to", "Q3_X")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "Q3_X" in refused.stderr
    assert _command(hub, "ada/nowhere", "--to", "Q8_0").returncode == 3
    assert _command(hub, "ada/not-to-convert", "--to", "Q8_0", "--repo", "ada/mine").returncode == 4
