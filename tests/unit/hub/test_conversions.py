"""Conversions as users ask for them: what is published, who may, and what a fault leaves behind."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from seedstock.core.errors import Conflict, Forbidden, RepoNotFound, StoreUnreachable, UnsupportedFormat
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import OrgRole, TokenRole
from seedstock.housekeeping import job_kinds
from seedstock.http.app import build_app
from seedstock.hub.commits import CommitWriter
from seedstock.hub.conversions import CONVERT_MODEL, Request
from seedstock.hub.repos import RepoSettings
from seedstock.jobs.worker import Worker
from seedstock.store.staging import StagedFile
from seedstock.variants.conversions import ConversionRecords
from tests.factories.hf_model import TOKENIZER_CONFIG, config, safetensors_bytes, tokenizer_json, weights
from tests.unit.lineage.conftest import Context, Family

SETTINGS = config("llama")
FILES = {
    "config.json": json.dumps(SETTINGS).encode(),
    "tokenizer.json": tokenizer_json(),
    "tokenizer_config.json": TOKENIZER_CONFIG,
}
CARD = "---\nlicense: apache-2.0\nlanguage: en\n---\n# Base\n"


def repo(name: str) -> RepoId:
    return RepoId(RepoType.MODEL, *name.split("/"))


@pytest.fixture
def shelf(hub: Any) -> Iterator[Family]:
    family = Family(hub)
    family.publish("ada/base", safetensors_bytes(weights(SETTINGS)), CARD, files=FILES)
    yield family


def job_of(shelf: Family, who: str, name: str, **request: Any) -> dict[str, Any]:
    number, _ = shelf.hub.conversions.start(shelf.people[who], repo(name), Request(**request))
    job = shelf.hub.queue.get(number)
    assert job.kind == CONVERT_MODEL
    shelf.hub.queue.cancel(number)
    return job.spec


def context_in(folder: Path) -> Context:
    context = Context()
    context.state_dir = folder
    return context


def test_what_is_published_names_its_source_and_is_verified_by_its_weights(
    shelf: Family, tmp_path: Path
) -> None:
    proposal = shelf.hub.conversions.propose(shelf.people["bob"], repo("ada/base"), Request("q8_0"))
    spec = job_of(shelf, "bob", "ada/base", to="q8_0")
    result = shelf.hub.conversions.run(context_in(tmp_path), spec)
    assert result is not None
    assert (result["repo"], result["path"]) == ("bob/base-GGUF", "base-Q8_0.gguf")
    assert result["size"] == proposal.size_bytes
    bob = shelf.people["bob"]
    at = shelf.hub.reading.repo_at(bob, repo("bob/base-GGUF"))
    assert at.commit.oid == result["commit"]
    card = at.metadata.card_data
    assert card["base_model"] == "ada/base"
    assert card["base_model_relation"] == "quantized"
    assert card["license"] == "apache-2.0"
    text = shelf.hub.reading.file(bob, repo("bob/base-GGUF"), "main/README.md").data or b""
    source = shelf.hub.reading.repo_at(bob, repo("ada/base"))
    digest = next(entry.digest for entry in source.entries if entry.path == "model.safetensors")
    for needed in (source.commit.oid, digest or "", result["sha256"]):
        assert needed in text.decode()
    shelf.settle()
    edge = next(edge for edge in shelf.lineage("bob/base-GGUF", "bob").edges if edge.name == "ada/base")
    assert (edge.tie.edge.verdict, edge.tie.edge.kind) == ("derived", "quantized")
    assert edge.commit == source.commit.oid


def test_a_job_that_starts_again_makes_the_same(shelf: Family, tmp_path: Path) -> None:
    spec = job_of(shelf, "ada", "ada/base", to="F16")
    first = shelf.hub.conversions.run(context_in(tmp_path), spec)
    assert shelf.hub.conversions.run(context_in(tmp_path), spec) == first
    with pytest.raises(Conflict, match=r"holds base-F16.gguf already"):
        shelf.hub.conversions.start(shelf.people["ada"], repo("ada/base"), Request("F16"))


def test_what_a_killed_attempt_left_goes_with_the_next(shelf: Family, tmp_path: Path) -> None:
    spec = job_of(shelf, "ada", "ada/base", to="Q8_0")
    left = shelf.hub.settings.data_dir / "incoming" / "left"
    left.write_bytes(b"half a model")
    (tmp_path / "staged").write_text(str(left))
    shelf.hub.conversions.run(context_in(tmp_path), spec)
    assert not left.exists()


@pytest.mark.parametrize("fault", ["disk", "record", "commit", "told to stop"])
def test_nothing_is_left_of_one_that_did_not_end(
    shelf: Family, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = job_of(shelf, "ada", "ada/base", to="Q8_0")
    context = context_in(tmp_path)
    if fault == "disk":
        whole = StagedFile.write

        def full(self: StagedFile, piece: bytes | memoryview) -> None:
            if self.size_bytes > 300_000:
                raise StoreUnreachable("Cannot write: No space left on device")
            whole(self, piece)

        monkeypatch.setattr(StagedFile, "write", full)
        with pytest.raises(StoreUnreachable):
            shelf.hub.conversions.run(context, spec)
    elif fault in {"record", "commit"}:
        broken = (ConversionRecords, "of") if fault == "record" else (CommitWriter, "commit")

        def fail(*_arguments: Any) -> None:
            raise StoreUnreachable("gone")

        monkeypatch.setattr(*broken, fail)
        with pytest.raises(StoreUnreachable, match="gone"):
            shelf.hub.conversions.run(context, spec)
    else:
        monkeypatch.setattr(context, "cancelled", lambda: True)
        assert shelf.hub.conversions.run(context, spec) is None
    with pytest.raises(RepoNotFound):
        shelf.hub.repos.get(shelf.people["ada"], repo("ada/base-GGUF"))
    assert [path for path in (shelf.hub.settings.data_dir / "incoming").rglob("*") if path.is_file()] == []


def test_a_repo_that_somebody_made_meanwhile_is_left_alone(shelf: Family, tmp_path: Path) -> None:
    spec = job_of(shelf, "ada", "ada/base", to="Q8_0")
    shelf.hub.repos.create(shelf.people["ada"], repo("ada/base-GGUF"))
    with pytest.raises(Conflict, match="made by somebody else"):
        shelf.hub.conversions.run(context_in(tmp_path), spec)


def test_a_second_type_joins_the_first_and_leaves_the_card(shelf: Family, tmp_path: Path) -> None:
    for to in ("F16", "Q8_0"):
        folder = tmp_path / to
        folder.mkdir()
        shelf.hub.conversions.run(context_in(folder), job_of(shelf, "ada", "ada/base", to=to))
    at = shelf.hub.reading.repo_at(shelf.people["ada"], repo("ada/base-GGUF"))
    assert {entry.path for entry in at.entries} == {
        ".gitattributes", "README.md", "recipe.toml",
        "base-F16.gguf", "base-F16.gguf.run-record.dsse.json",
        "base-Q8_0.gguf", "base-Q8_0.gguf.run-record.dsse.json",
    }  # fmt: skip
    shelf.hub.conversions.run(
        context_in(tmp_path), job_of(shelf, "ada", "ada/base-GGUF", to="Q4_0", file="base-F16.gguf")
    )


def test_rights(shelf: Family) -> None:
    ada, bob, start = shelf.people["ada"], shelf.people["bob"], shelf.hub.conversions.start
    with pytest.raises(Forbidden, match="create a repository under"):
        start(bob, repo("ada/base"), Request("F16", repo="ada/mine"))
    shelf.hub.accounts.create_token("bob", role=TokenRole.READ)
    reader = shelf.hub.accounts.viewer_for_token(shelf.hub.accounts.create_token("bob", role=TokenRole.READ))
    with pytest.raises(Forbidden):
        start(reader, repo("ada/base"), Request("F16"))
    shelf.hub.repos.change(ada, repo("ada/base"), RepoSettings(private=True))
    with pytest.raises(RepoNotFound):
        start(bob, repo("ada/base"), Request("F16"))


def test_what_is_closed_stays_closed(shelf: Family, tmp_path: Path) -> None:
    hub, ada = shelf.hub, shelf.people["ada"]
    hub.accounts.create_org("lab")
    hub.accounts.set_membership("lab", "ada", OrgRole.ADMIN)
    hub.accounts.set_membership("lab", "bob", OrgRole.READ)
    ada, bob = (
        hub.accounts.viewer_for_token(hub.accounts.create_token(name, role=TokenRole.WRITE))
        for name in ("ada", "bob")
    )
    hub.repos.move(ada, repo("ada/base"), repo("lab/base"))
    hub.repos.change(ada, repo("lab/base"), RepoSettings(gated="manual"))
    assert hub.conversions.propose(bob, repo("lab/base"), Request("F16")).private is True
    with pytest.raises(Forbidden, match="lab/base is gated"):
        hub.conversions.propose(bob, repo("lab/base"), Request("F16", private=False))
    hub.repos.create(bob, repo("bob/open"), private=False)
    with pytest.raises(Forbidden, match="lab/base is gated"):
        hub.conversions.propose(bob, repo("lab/base"), Request("F16", repo="bob/open"))
    assert hub.conversions.propose(ada, repo("lab/base"), Request("F16", private=False)).private is False
    number, _ = hub.conversions.start(bob, repo("lab/base"), Request("F16"))
    hub.accounts.set_membership("lab", "bob", None)
    with pytest.raises(Forbidden, match="restricted to members"):
        hub.conversions.run(context_in(tmp_path), hub.queue.get(number).spec)


def test_what_cannot_be_converted_is_refused_before_a_job_exists(shelf: Family) -> None:
    shelf.publish(
        "ada/strange", safetensors_bytes(weights(SETTINGS)), files={"config.json": FILES["config.json"]}
    )
    with pytest.raises(UnsupportedFormat, match=r"no tokenizer.json"):
        shelf.hub.conversions.start(shelf.people["ada"], repo("ada/strange"), Request("Q8_0"))
    shelf.publish("ada/text", None, "# text")
    with pytest.raises(UnsupportedFormat, match="no safetensors and no GGUF"):
        shelf.hub.conversions.start(shelf.people["ada"], repo("ada/text"), Request("Q8_0"))
    assert [job for job in shelf.hub.queue.page() if job.kind == CONVERT_MODEL] == []


def test_the_api_answers_with_a_job_that_is_its_owners(shelf: Family) -> None:
    tokens = {
        name: {"Authorization": f"Bearer {shelf.hub.accounts.create_token(name, role=TokenRole.WRITE)}"}
        for name in ("ada", "bob")
    }
    client = TestClient(build_app(shelf.hub), base_url="http://hub.test")
    where = "/api/models/ada/base/convert"
    assert client.post(where, json={"to": "Q8_0"}).status_code == 401
    assert client.post(where, json={"to": "Q9"}, headers=tokens["bob"]).status_code == 400
    dry = client.post(f"{where}?dry_run=true", json={"to": "Q8_0"}, headers=tokens["bob"])
    assert dry.status_code == 200
    assert "job" not in dry.json()
    answer = client.post(where, json={"to": "Q8_0"}, headers=tokens["bob"])
    assert answer.status_code == 202
    assert answer.json()["size"] == dry.json()["size"] > 700_000
    status = answer.json()["status"].removeprefix("http://hub.test")
    assert client.get(status, headers=tokens["bob"]).json()["state"] == "queued"
    for stranger in (tokens["ada"], {}):
        assert client.get(status, headers=stranger).status_code == 404
        assert client.post(f"{status}/cancel", headers=stranger).status_code == 404
    assert client.post(f"{status}/cancel", headers=tokens["bob"]).json()["state"] == "cancelled"


HTML = {"accept": "text/html", "host": "hub.test"}


def test_the_page_shows_the_size_starts_the_job_and_follows_it(shelf: Family, tmp_path: Path) -> None:
    hub = shelf.hub
    hub.accounts.create_user("eve", password="correct horse battery")
    client = TestClient(build_app(hub), base_url="http://hub.test", headers=HTML, follow_redirects=False)
    assert client.get("/ada/base/convert").headers["location"].startswith("/login")
    client.post("/login", data={"name": "eve", "password": "correct horse battery"})
    assert "/ada/base/convert" in client.get("/ada/base").text
    page = client.get("/ada/base/convert?to=Q8_0&repo=eve/mine").text
    assert "base-Q8_0.gguf" in page
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    form = {"csrf": found[1], "to": "Q8_0", "repo": "eve/mine", "private": ""}
    assert client.post("/ada/base/convert", data=form | {"repo": "ada/mine"}).status_code == 400
    assert client.post("/ada/base/convert", data=form | {"csrf": "x"}).status_code == 403
    answer = client.post("/ada/base/convert", data=form)
    assert answer.status_code == 303
    job = answer.headers["location"]
    assert re.fullmatch(r"/jobs/\d+", job)
    assert "data-live" in client.get(job).text
    other = TestClient(build_app(hub), base_url="http://hub.test", headers=HTML)
    assert "/login" in str(other.get(job).url)
    stop = threading.Event()
    kinds = {name: kind for name, kind in job_kinds(hub).items() if name == CONVERT_MODEL}
    Worker(hub.database, kinds, tmp_path / "jobs", hub.clock, stop).step(only=frozenset(kinds))
    page = client.get(job).text
    assert 'Published in <a href="/eve/mine">' in page
    assert "data-live" not in page
    assert "/eve/mine/replicate" in client.get("/eve/mine").text
    assert "base-q8_0" in client.get("/eve/mine/replicate").text
    assert client.post("/ada/base/convert", data=form).status_code == 400
