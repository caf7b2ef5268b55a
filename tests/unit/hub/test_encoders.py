"""Models that only embed: they are listed as such and offered for vectors, and nowhere to talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from seedstock.adapt.spec import read_spec
from seedstock.chats.service import ChatSettings
from seedstock.core.errors import Invalid, ModelNotRunnable, UnsupportedFormat
from seedstock.core.names import RepoId, RepoType
from seedstock.evaluation.request import Request
from seedstock.http.app import build_app
from seedstock.wiring import Hub
from tests.factories.gguf_encoder import write_tiny_bert
from tests.factories.hf_model import TOKENIZER_CONFIG, config, safetensors_bytes, tokenizer_json, weights
from tests.unit.lineage.conftest import Family

BASE = "http://hub.test"
HTML = {"accept": "text/html"}
ENCODERS = ("ada/bert", "ada/sentences")


@pytest.fixture
def shelf(hub: Hub, tmp_path: Path) -> Iterator[Family]:
    family = Family(hub)
    state = safetensors_bytes(weights(config("llama")))
    files = {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": TOKENIZER_CONFIG}
    settings = json.dumps({"model_type": "bert", "architectures": ["BertModel"]}).encode()
    family.publish("ada/bert", write_tiny_bert(tmp_path / "bert-F32.gguf").read_bytes(), path="bert-F32.gguf")
    family.publish("ada/sentences", state, files=files | {"config.json": settings, "modules.json": b"[]"})
    talker = json.dumps(config("llama")).encode()
    family.publish("ada/talker", state, files=files | {"config.json": talker})
    family.index()
    yield family


def test_the_list_of_models_says_what_each_is_for(shelf: Family) -> None:
    token = shelf.hub.accounts.create_token("ada")
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(build_app(shelf.hub), base_url=BASE) as client:
        listed = {
            one["id"]: one["abilities"] for one in client.get("/v1/models", headers=headers).json()["data"]
        }
        assert listed == {**{name: ["embeddings"] for name in ENCODERS}, "ada/talker": ["generation"]}
        one = client.get("/v1/models/ada/bert", headers=headers).json()
        assert (one["abilities"], one["fits"]) == (["embeddings"], True)
        stock = headers | {"anthropic-version": "2023-06-01"}
        assert all("abilities" not in one for one in client.get("/v1/models", headers=stock).json()["data"])


def test_what_a_model_is_for_is_found_out_once_for_each_commit(shelf: Family) -> None:
    hub, statements = shelf.hub, list[str]()

    def listed() -> dict[str, str]:
        statements.clear()
        return {one.repo.repo_id: one.ability for one in hub.models.list(shelf.people["ada"])}

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    before = dict.fromkeys(ENCODERS, "embeddings") | {"ada/talker": "generation"}
    assert listed() == before
    sa.event.listen(hub.database.engine, "before_cursor_execute", note)
    assert listed() == before
    read = [text for text in statements if any(table in text for table in ("commits", "git_", "metadata"))]
    assert (len(statements) > 0, read) == (True, [])
    shelf.publish("ada/talker", None, files={"modules.json": b"[]"})
    turned = dict.fromkeys((*ENCODERS, "ada/talker"), "embeddings")
    assert listed() == turned  # though what the weights say is not read yet
    shelf.index()
    assert listed() == turned
    shelf.hub.repos.create(shelf.people["ada"], RepoId(RepoType.MODEL, "ada", "late"))
    assert listed() == turned


def test_pages_offer_vectors_in_place_of_a_chat(shelf: Family) -> None:
    with TestClient(build_app(shelf.hub), base_url=BASE) as client:
        for name in (*ENCODERS, "ada/talker"):
            page = client.get(f"/{name}", headers=HTML).text
            talks = name == "ada/talker"
            assert (f'href="/{name}/chat"' in page, "Talk to it" in page) == (talks, talks)
            assert ("/v1/chat/completions" in page, "/v1/embeddings" in page) == (talks, not talks)
        tagged = {name: client.get(f"/api/models/{name}").json()["pipeline_tag"] for name in ENCODERS}
        assert tagged == {"ada/bert": "feature-extraction", "ada/sentences": "sentence-similarity"}
        blocked = client.get("/ada/bert/chat", headers=HTML)
        assert blocked.status_code == 200
        assert "it turns texts into vectors" in blocked.text


def test_they_are_neither_compared_nor_evaluated(shelf: Family) -> None:
    ada = shelf.people["ada"]
    with pytest.raises(Invalid, match="ada/bert makes no text"):
        shelf.hub.arena.begin(ada, ["ada/talker", "ada/bert"], "hi", ChatSettings(), blind=True)
    with pytest.raises(ModelNotRunnable, match="ada/sentences makes no text"):
        shelf.hub.evaluations.plan(ada, RepoId(RepoType.MODEL, "ada", "sentences"), Request("arithmetic"))


def test_no_variant_is_made_of_one(shelf: Family) -> None:
    ada = shelf.people["ada"]
    sft = {"method": "sft", "base": "ada/sentences", "data": "ada/rows"}
    traces = {"method": "distil_traces", "base": "ada/talker", "teacher": "ada/bert", "data": "ada/rows"}
    merge = {"method": "merge", "models": ["ada/talker", "ada/sentences"], "settings": {"method": "slerp"}}
    for document, name in ((sft, "sentences"), (traces, "bert"), (merge, "sentences")):
        with pytest.raises(UnsupportedFormat, match=f"ada/{name} makes no text"):
            shelf.hub.variants.propose(ada, read_spec(document))
    with TestClient(build_app(shelf.hub), base_url=BASE) as client:
        token = shelf.hub.accounts.create_token("ada")
        asked = client.post("/api/adapt", json=sft, headers={"Authorization": f"Bearer {token}"})
        assert (asked.status_code, "ada/sentences makes no text" in asked.json()["error"]) == (400, True)


def test_pages_offer_no_variant_of_one(shelf: Family) -> None:
    headers = HTML | {"Authorization": f"Bearer {shelf.hub.accounts.create_token('ada')}"}
    with TestClient(build_app(shelf.hub), base_url=BASE) as client:
        for name in (*ENCODERS, "ada/talker"):
            writes = name == "ada/talker"
            assert (f'href="/{name}/adapt"' in client.get(f"/{name}", headers=headers).text) == writes
            form = client.get(f"/{name}/adapt", headers=headers)
            assert form.status_code == 200
            assert ('name="method"' in form.text, "turns texts into vectors" in form.text) == (
                writes,
                not writes,
            )
