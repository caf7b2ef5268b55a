"""The family tree over HTTP and the command line, as scripts use them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from tests.contract.clients import Client
from tests.contract.server import ROOT, HubProcess
from tests.factories.toy_models import fine_tuned, safetensors_bytes, toy_llama

BASE = toy_llama(101)
UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
for repo in sys.argv[2:]:
    api.create_repo(repo, exist_ok=True, private=repo.endswith("-secret"))
    api.upload_folder(repo_id=repo, folder_path=f"{sys.argv[1]}/{repo.split('/')[1]}")
"""


@pytest.fixture(scope="module")
def published(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, an honest child, a liar, a silent copy and a secret one, by the stock client."""
    folder = tmp_path_factory.mktemp("models")
    named = "---\nlicense: mit\nbase_model: ada/lin-base\nbase_model_relation: finetune\n---\n"
    models = {
        "lin-base": (BASE, "---\nlicense: apache-2.0\n---\n# Base\n"),
        "lin-child": (fine_tuned(BASE, 1), named),
        "lin-liar": (toy_llama(102), named),
        "lin-silent": (fine_tuned(BASE, 2), "# Says nothing\n"),
        "lin-secret": (fine_tuned(BASE, 3), named),
    }
    for name, (state, card) in models.items():
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(safetensors_bytes(state))
        (folder / name / "README.md").write_text(card)
    client = Client("hf-newest", hub.url, hub.tokens["ada"], folder / "home", True)
    done = client.python("-c", UPLOAD, str(folder), *(f"ada/{name}" for name in models))
    assert done.returncode == 0, done.text
    hub.admin(
        "publisher", "ada", "--organisation", "Ada's", "--country", "CH", "--source", "https://example.org/a"
    )
    hub.admin("jobs", "--wait")
    return folder


def edges(http: httpx.Client, repo: str) -> dict[str, dict[str, Any]]:
    answer = http.get(f"/api/models/{repo}/lineage")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["repo"] == repo
    assert body["status"] == "done", body
    assert len(body["commit"]) == 40
    return {edge["other"]["repo"]: edge for edge in body["edges"]}


def test_lineage_tells_declared_from_verified(http: httpx.Client, published: Path) -> None:
    found = edges(http, "ada/lin-child")["ada/lin-base"]
    assert (found["role"], found["declared"], found["verdict"], found["kind"]) == (
        "parent",
        "finetune",
        "derived",
        "finetune",
    )
    assert "@" in found["method"]
    assert found["statistics"]
    liar = edges(http, "ada/lin-liar")["ada/lin-base"]
    assert (liar["declared"], liar["verdict"]) == ("finetune", "contradicted")
    silent = edges(http, "ada/lin-silent")["ada/lin-base"]
    assert (silent["role"], silent["declared"], silent["verdict"]) == ("relative", None, "derived")
    [root] = http.get("/api/models/ada/lin-child/lineage").json()["foundations"]
    assert (root["repo"], root["declared"], root["verified"]) == ("ada/lin-base", True, True)
    assert (root["publisher"], root["country"]) == ("Ada's", "CH")


def test_a_record_verifies_offline_and_any_change_shows(
    hub: HubProcess, http: httpx.Client, published: Path, tmp_path: Path
) -> None:
    url = edges(http, "ada/lin-child")["ada/lin-base"]["record"]
    record, key = tmp_path / "record.json", tmp_path / "hub.pem"
    record.write_bytes(http.get(url).content)
    key.write_bytes(http.get("/api/hub-key").content)
    command = [sys.executable, "-m", "seedstock", "verify-record", str(record), "--key", str(key)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    good = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    raw = bytearray(record.read_bytes())
    raw[len(raw) // 2] ^= 1
    record.write_bytes(raw)
    bad = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "Traceback" not in bad.stderr


def test_the_public_hubs_fields_are_there(
    make_client: Callable[..., Client], published: Path, http: httpx.Client
) -> None:
    done = make_client().python(
        "-c",
        "from huggingface_hub import HfApi; import json\n"
        "api = HfApi()\n"
        "base = api.model_info('ada/lin-base', expand=['childrenModelCount'])\n"
        "child = api.model_info('ada/lin-child', expand=['baseModels'])\n"
        "print(json.dumps([base.children_model_count, child.base_models]))",
    )
    assert done.returncode == 0, done.text
    assert json.loads(done.stdout) == [
        {"finetune": 1},
        {"relation": "finetune", "models": [{"_id": ANY, "id": "ada/lin-base"}]},
    ]
    base = http.get("/api/models/ada/lin-base", params={"expand": ["childrenModelCount"]}).json()
    assert base["childrenModelCount"] == {"finetune": 1}
    child = http.get("/api/models/ada/lin-child", params={"expand": ["baseModels"]}).json()
    assert child["baseModels"]["relation"] == "finetune"
    assert [item["id"] for item in child["baseModels"]["models"]] == ["ada/lin-base"]


def test_a_strangers_answers_never_name_what_is_private(stranger: httpx.Client, published: Path) -> None:
    for path in (
        "/api/models/ada/lin-base/lineage",
        "/api/models/ada/lin-base/family",
        "/api/models/ada/lin-silent/lineage",
        "/api/foundations",
        "/api/foundations/ada",
        "/api/models/ada/lin-base/openness",
        "/api/models/ada/lin-child/bom",
        "/ada/lin-base/family",
        "/foundations",
    ):
        answer = stranger.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        assert "secret" not in answer.text, path
    missing = [
        stranger.get(f"/api/models/ada/{name}/{what}")
        for name in ("lin-secret", "no-such")
        for what in ("lineage", "openness", "licences", "bom", "family")
    ]
    assert {(answer.status_code, answer.json()["error"]) for answer in missing} == {
        (401, "Repository not found")
    }


def test_a_file_is_traced_without_being_published(
    hub: HubProcess, http: httpx.Client, published: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(safetensors_bytes(fine_tuned(BASE, 9)))
    command = [sys.executable, "-m", "seedstock", "trace", str(path), "--json", "--endpoint", hub.url]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": hub.tokens["bob"]}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    related = {item["repo"]: item["verdict"] for item in json.loads(done.stdout)["related"]}
    assert related["ada/lin-base"] == "derived"
    assert "ada/lin-secret" not in related
    assert "ada/lin-liar" not in related
    copy = http.post(
        "/api/trace?name=x.safetensors", content=(published / "lin-base" / "model.safetensors").read_bytes()
    )
    assert {item["repo"]: item["verdict"] for item in copy.json()["related"]}["ada/lin-base"] == "identical"
    by_repo = http.post("/api/trace", json={"repo": "ada/lin-child"}).json()
    assert by_repo["status"] == "done"
    assert "ada/lin-base" in {item["repo"] for item in by_repo["related"]}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "x.safetensors"),
        (b"\xff" * 100, "x.safetensors"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "x.safetensors"),
        ((2).to_bytes(8, "little") + b"{}", "x.safetensors"),
        (b"GGUF" + b"\xff" * 40, "x.gguf"),
        (b"pickle", "x.bin"),
    ],
)
def test_bad_files_are_refused_or_say_nothing(
    http: httpx.Client, published: Path, content: bytes, name: str
) -> None:
    answer = http.post("/api/trace", params={"name": name}, content=content)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        assert answer.json()["related"] == []
        assert answer.json()["problem"]
    else:
        assert answer.json()["error"]


def test_the_report_as_a_table(stranger: httpx.Client, published: Path) -> None:
    answer = stranger.get("/ada/foundations.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    [base] = [row for row in rows if row["root"] == "ada/lin-base"]
    assert (base["models"], base["verified"], base["stated_country"]) == ("1", "1", "CH")


def test_licences_and_bills(http: httpx.Client, published: Path) -> None:
    report = http.get("/api/models/ada/lin-child/licences").json()["report"]
    assert report["status"] in {"ok", "notice-missing"}
    assert any(item["licence"].startswith("Apache") for item in report["obligations"])
    bom = http.get("/api/models/ada/lin-child/bom").json()
    assert bom["bomFormat"] == "CycloneDX"
    assert "lin-base" in json.dumps(bom["components"])
    spdx = http.get("/api/models/ada/lin-child/bom", params={"format": "spdx"}).json()
    assert "@graph" in spdx
    assert http.get("/api/models/ada/lin-child/bom", params={"format": "x"}).status_code == 400
    grade = http.get("/api/models/ada/lin-child/openness").json()
    assert len(grade["components"]) == 17
