"""Models that only embed: they are listed as such and offered for vectors, and nowhere to talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from seedstock.chats.service import ChatSettings
from seedstock.core.errors import Invalid, ModelNotRunnable
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
