"""Which models run, for whom, from which file, and what is refused before anything is made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.testclient import TestClient

from seedstock.convert.architectures import ARCHITECTURES
from seedstock.core.errors import GatedRepo, ModelNotRunnable, ModelPreparing, Unavailable
from seedstock.core.names import RepoId, RepoType
from seedstock.http import generation
from seedstock.http.app import build_app
from seedstock.hub.fit import Fit
from seedstock.hub.models import LocatedModel
from seedstock.hub.repos import RepoSettings
from seedstock.hub.runnable import CONVERTED, kind_of, parts_of, pick_gguf
from seedstock.hub.trees import Entry
from seedstock.metadata.summary import RepoMetadata
from seedstock.wiring import Hub, open_hub
from tests.factories.hf_model import TOKENIZER_CONFIG, config, safetensors_bytes, tokenizer_json, weights
from tests.factories.lora import adapter_config, adapter_weights
from tests.unit.lineage.conftest import Family

SETTINGS = config("llama")
STATE = weights(SETTINGS)
making = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests in which files are made, by processes that take a second each: what they show depends on no database."""
FILES = {
    "config.json": json.dumps(SETTINGS).encode(),
    "tokenizer.json": tokenizer_json(),
    "tokenizer_config.json": TOKENIZER_CONFIG,
}


def adapter_files(base: str, **more: Any) -> dict[str, bytes]:
    settings = adapter_config(base, **more)
    matrices = adapter_weights(STATE, settings, 1)
    return {
        "adapter_config.json": json.dumps(settings).encode(),
        "adapter_model.safetensors": safetensors_bytes(matrices, "F32"),
    }


@pytest.fixture
def shelf(hub: Hub) -> Iterator[Family]:
    family = Family(hub)
    family.publish("ada/base", safetensors_bytes(STATE), files=FILES)
    family.publish("ada/adapter", None, files=adapter_files("ada/base"))
    family.index()
    yield family


def ready(shelf: Family, who: str, name: str) -> LocatedModel:
    """The model, once its files are made."""
    deadline_s = time.monotonic() + 60
    while True:
        try:
            return shelf.hub.models.locate(shelf.people[who], name)
        except ModelPreparing:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def listed(shelf: Family, who: str) -> list[str]:
    return [one.repo.repo_id for one in shelf.hub.models.list(shelf.people[who])]


@making
def test_files_are_made_once_and_shared_by_content(shelf: Family) -> None:
    with pytest.raises(ModelPreparing, match="ada/base is being made"):
        shelf.hub.models.locate(shelf.people["bob"], "ada/adapter")
    base, adapter = ready(shelf, "bob", "ada/base").file, ready(shelf, "bob", "ada/adapter").file
    assert adapter.adapter is not None
    assert msgspec.structs.replace(adapter, adapter=None) == base
    shelf.publish("bob/copy", safetensors_bytes(STATE), files=FILES, private=True)
    assert shelf.hub.models.locate(shelf.people["bob"], "bob/copy").file == base
    assert b"ada" not in Path(base.path).read_bytes()[:4096]  # whoever shares it need not know whose it was
    assert shelf.hub.models.locate(shelf.people["bob"], "ada/base:F16").file == base
    with pytest.raises(ModelNotRunnable, match="no GGUF file 'Q4_K_M'"):
        shelf.hub.models.locate(shelf.people["bob"], "ada/base:Q4_K_M")


def test_an_adapter_is_listed_to_those_who_may_read_its_base(shelf: Family) -> None:
    assert listed(shelf, "bob") == ["ada/adapter", "ada/base"]
    ada = shelf.people["ada"]
    shelf.hub.repos.change(ada, RepoId(RepoType.MODEL, "ada", "base"), RepoSettings(private=True))
    assert listed(shelf, "bob") == []
    assert listed(shelf, "ada") == ["ada/adapter", "ada/base"]
    with pytest.raises(ModelNotRunnable, match="adapter of ada/base, which is not on this hub"):
        shelf.hub.models.locate(shelf.people["bob"], "ada/adapter")


def test_a_gated_base_is_refused_as_such(shelf: Family) -> None:
    ada, base = shelf.people["ada"], RepoId(RepoType.MODEL, "ada", "base")
    shelf.hub.repos.change(ada, base, RepoSettings(gated="manual"))
    at = shelf.hub.reading.repo_at(shelf.people["bob"], RepoId(RepoType.MODEL, "ada", "adapter"))
    assert not shelf.hub.models.runs(shelf.people["bob"], at)
    with pytest.raises(GatedRepo):
        shelf.hub.models.locate(shelf.people["bob"], "ada/adapter")


@making
def test_an_adapter_keeps_to_the_commit_that_it_names(shelf: Family) -> None:
    ada = shelf.people["ada"]
    first = shelf.hub.reading.repo_at(ada, RepoId(RepoType.MODEL, "ada", "base")).commit.oid
    shelf.publish("ada/pinned", None, files=adapter_files("ada/base", revision=first))
    before = ready(shelf, "ada", "ada/base").file
    shelf.publish("ada/base", safetensors_bytes(weights(SETTINGS, seed=9)), files=FILES)
    assert ready(shelf, "ada", "ada/pinned").file.key == before.key
    assert ready(shelf, "ada", "ada/adapter").file.key != before.key
    shelf.publish("ada/lost", None, files=adapter_files("ada/base", revision="0" * 40))
    with pytest.raises(ModelNotRunnable, match="at commit 0000"):
        shelf.hub.models.locate(ada, "ada/lost")


@making
def test_what_does_not_fit_is_refused_with_numbers_and_nothing_is_made(shelf: Family) -> None:
    small = msgspec.structs.replace(shelf.hub.settings, engine_memory_bytes=20_000_000)
    hub = open_hub(small)
    try:
        for name in ("ada/base", "ada/adapter"):
            with pytest.raises(ModelNotRunnable, match=r"needs about 0\.2 GB .* gives engines 0\.0 GB"):
                hub.models.locate(shelf.people["ada"], name)
            fit = hub.models.fit(shelf.people["ada"], name)
            assert not fit.fits
    finally:
        hub.close()
    assert not list((small.data_dir / "cache").glob("engines/*.gguf"))


@making
def test_the_estimate_is_that_of_the_file_which_is_made(shelf: Family) -> None:
    ada = shelf.people["ada"]
    foretold = shelf.hub.models.fit(ada, "ada/base")
    made = ready(shelf, "ada", "ada/base").file
    shelf.publish("ada/made", Path(made.path).read_bytes(), path="made-F16.gguf")
    known = shelf.hub.models.fit(ada, "ada/made")
    assert foretold.estimate.weights_bytes == pytest.approx(known.estimate.weights_bytes, rel=0.02)
    same = {"weights_bytes": 0}
    assert msgspec.structs.replace(foretold.estimate, **same) == msgspec.structs.replace(
        known.estimate, **same
    )
    assert isinstance(known, Fit)


@making
def test_no_disk_is_an_answer_with_numbers(shelf: Family) -> None:
    hub = open_hub(msgspec.structs.replace(shelf.hub.settings, engine_cache_bytes=1000))
    tight = Family.__new__(Family)
    tight.hub, tight.people = hub, shelf.people
    try:
        with pytest.raises(Unavailable, match=r"cannot be run: It needs \d+ MB; 0 MB may be used") as refused:
            ready(tight, "ada", "ada/base")
        assert refused.value.hint == "raise SEEDSTOCK_ENGINE_CACHE_BYTES"
    finally:
        hub.close()


@making
def test_who_asks_meanwhile_is_told_to_come_back(shelf: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "PREPARATION_WAIT_S", 0.0)
    token = shelf.hub.accounts.create_token("ada")
    with TestClient(build_app(shelf.hub)) as client:
        answer: httpx.Response = client.post(
            "/v1/completions",
            json={"model": "ada/base", "prompt": "a"},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "is being made ready to run" in answer.json()["error"]["message"]


def test_the_offered_architectures_are_those_that_are_converted() -> None:
    assert frozenset(ARCHITECTURES) == CONVERTED


def _entries(*paths: str) -> list[Entry]:
    return [Entry(path, "0" * 40, is_tree=False, size_bytes=10, digest="d" * 64) for path in paths]


def test_a_model_in_parts_runs_when_all_are_there() -> None:
    parts = _entries(*(f"Q/m-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)))
    first = pick_gguf(parts, None)
    assert first == parts[0]
    assert parts_of(parts, parts[0]) == parts
    assert pick_gguf(parts, "q8_0") == parts[0]
    assert pick_gguf(parts, "m-q8_0") == parts[0]
    assert pick_gguf(parts[:2], None) is None
    assert pick_gguf(parts[1:], None) is None
    better = _entries("m-Q4_K_M.gguf")
    assert pick_gguf([*parts, *better], None) == better[0]
    assert pick_gguf(_entries("m-00001-of-00000.gguf", "n-00000-of-00001.gguf"), None) is None


def test_what_names_no_base_or_is_packed_does_not_run() -> None:
    adapter = _entries("adapter_config.json", "adapter_model.safetensors")
    path = {"base_model_name_or_path": "/home/me/model"}
    assert kind_of(adapter, RepoMetadata(config={"peft": path})) is None
    whole = _entries("config.json", "tokenizer.json", "model.safetensors")
    packed = {"model_type": "llama", "quantization_config": {"quant_method": "awq"}}
    assert kind_of(whole, RepoMetadata(config=packed)) is None
    assert kind_of(whole[1:], RepoMetadata(config={"model_type": "llama"})) is None
