"""The stock openai client against models without a GGUF: safetensors weights, and LoRA adapters of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import openai
import pytest
from huggingface_hub import HfApi

pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

from tests.contract.models import add_files, commit_files
from tests.contract.server import HubProcess
from tests.factories.hf_model import (
    TOKENIZER_CONFIG,
    State,
    byte_letters,
    byte_vocabulary,
    config,
    logits,
    safetensors_bytes,
    tokenizer_json,
    weights,
)
from tests.factories.lora import adapter_config, adapter_weights, merged
from tests.unit.convert.conftest import convert, model_files

SETTINGS = config("llama")
BASE = "ada/plain-weights"
PROMPT = "xyzq"


def _first_token(state: State) -> str:
    """What a model says to the prompt, by its definition."""
    numbers = [byte_vocabulary()[letter] for letter in PROMPT]
    letters = {letter: chr(byte) for byte, letter in enumerate(byte_letters()) if byte < 128}
    token = list(byte_vocabulary())[int(logits(state, SETTINGS, numbers)[-1].argmax())]
    return "".join(letters[letter] for letter in token)


def _files(settings: dict[str, Any], state: State) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(settings).encode(),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": TOKENIZER_CONFIG,
        "model.safetensors": safetensors_bytes(state),
    }


def _adapter_files(base: str, state: State, seed: int, **settings: Any) -> dict[str, bytes]:
    named = adapter_config(base, **settings)
    matrices = adapter_weights(state, named, seed)
    return {
        "adapter_config.json": json.dumps(named).encode(),
        "adapter_model.safetensors": safetensors_bytes(matrices, "F32"),
    }


@pytest.fixture(scope="module")
def ada(hub: HubProcess) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {hub.tokens['ada']}"}
    with httpx.Client(base_url=hub.url, headers=headers, timeout=120, trust_env=False) as session:
        yield session


@pytest.fixture(scope="module")
def spoken(hub: HubProcess, ada: httpx.Client) -> dict[str, str]:
    """A base and three adapters of it, each with the letter that it answers with: all of them other ones."""
    state = weights(SETTINGS)
    commit = commit_files(ada, BASE, _files(SETTINGS, state))
    said = {BASE: _first_token(state)}
    seeds = itertools.count(1)
    while len(said) < 4:
        seed, settings = next(seeds), adapter_config()
        token = _first_token(merged(state, adapter_weights(state, settings, seed), settings))
        if token in said.values():
            continue
        name = f"ada/adapter-{len(said)}"
        pinned = {"revision": commit} if len(said) == 2 else {}
        commit_files(ada, name, _adapter_files(BASE, state, seed, **pinned))
        said[name] = token
    hub.admin("jobs", "--wait")
    return said


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    url = f"{hub.url}/v1"
    with openai.OpenAI(base_url=url, api_key=hub.tokens["ada"], max_retries=2, timeout=60) as client:
        yield client


def _say(client: openai.OpenAI, name: str) -> str:
    answer = client.completions.create(model=name, prompt=PROMPT, max_tokens=1, temperature=0)
    assert answer.model == name
    return answer.choices[0].text


def test_weights_and_their_adapters_answer_each_in_its_own_way(
    spoken: dict[str, str], client: openai.OpenAI
) -> None:
    for _ in range(2):
        assert {name: _say(client, name) for name in spoken} == spoken
    names = list(spoken) * 4
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda name: _say(client, name), names)) == [spoken[name] for name in names]


def test_they_are_listed_with_what_they_need(
    spoken: dict[str, str], client: openai.OpenAI, ada: httpx.Client
) -> None:
    assert set(spoken) <= {item.id for item in client.models.list()}
    base = ada.get(f"/v1/models/{BASE}").json()
    assert base["fits"] is True
    assert base["context_length"] == SETTINGS["max_position_embeddings"]
    parts = base["memory_bytes"]
    assert parts["total"] == parts["weights"] + parts["cache"] + parts["other"] <= parts["limit"]
    adapter = ada.get("/v1/models/ada/adapter-1").json()["memory_bytes"]
    assert 0 < adapter["weights"] - parts["weights"] < parts["weights"] / 2
    page = ada.get("/ada/adapter-1").text
    assert "Memory to run" in page
    assert "this hub gives" in page


def test_streams_chats_and_counts_tokens_with_an_adapter(
    spoken: dict[str, str], client: openai.OpenAI
) -> None:
    name = "ada/adapter-1"
    events = client.chat.completions.create(
        model=name, messages=[{"role": "user", "content": PROMPT}], max_tokens=3, stream=True
    )
    assert {event.model for event in events} == {name}
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        client.embeddings.create(model=name, input="a")


def test_a_private_base_is_as_absent_to_strangers(
    spoken: dict[str, str], ada: httpx.Client, hub: HubProcess
) -> None:
    state = weights(SETTINGS, seed=3)
    commit_files(ada, "ada/hidden-base", _files(SETTINGS, state), private=True)
    commit_files(ada, "ada/of-hidden", _adapter_files("ada/hidden-base", state, 1))
    commit_files(ada, "ada/of-nothing", _adapter_files("ada/hidden-bose", state, 1))
    hub.admin("jobs", "--wait")
    body = {"prompt": PROMPT, "max_tokens": 1}
    own = ada.post("/v1/completions", json=body | {"model": "ada/of-hidden"})
    assert own.status_code == 200, own.text
    listed = {item["id"] for item in ada.get("/v1/models").json()["data"]}
    assert "ada/of-hidden" in listed
    assert "ada/of-nothing" not in listed

    headers = {"Authorization": f"Bearer {hub.tokens['bob']}"}
    with httpx.Client(base_url=hub.url, headers=headers, timeout=60, trust_env=False) as bob:
        hidden, absent = (
            bob.post("/v1/completions", json=body | {"model": name})
            for name in ("ada/of-hidden", "ada/of-nothing")
        )
        assert hidden.status_code == absent.status_code == 404
        assert hidden.text == absent.text.replace("of-nothing", "of-hidden").replace("bose", "base")
        assert "ada/of-hidden" not in {item["id"] for item in bob.get("/v1/models").json()["data"]}
        assert bob.get("/v1/models/ada/of-hidden").status_code == 404
        assert bob.get("/ada/of-hidden").status_code == 200
        assert bob.get("/ada/of-hidden/chat").status_code == 200


def test_adapters_that_cannot_run_are_refused_by_name(
    spoken: dict[str, str], ada: httpx.Client, client: openai.OpenAI
) -> None:
    state = weights(SETTINGS)
    commit_files(ada, "ada/dora", _adapter_files(BASE, state, 1, use_dora=True))
    wider = {name: np.tile(matrix, (1, 2)) for name, matrix in state.items() if matrix.ndim == 2}
    commit_files(ada, "ada/of-another", _adapter_files(BASE, wider, 1))
    with pytest.raises(openai.NotFoundError, match="use_dora"):
        _say(client, "ada/dora")
    with pytest.raises(openai.NotFoundError, match="of another model"):
        _say(client, "ada/of-another")
    assert _say(client, BASE) == spoken[BASE]


def test_a_cut_file_is_made_anew(spoken: dict[str, str], client: openai.OpenAI, hub: HubProcess) -> None:
    assert {name: _say(client, name) for name in spoken} == spoken
    made = sorted((hub.data / "cache" / "engines").glob("*.gguf"))
    assert made
    for path in made:
        # In place, which an engine that has it mapped would not survive: that is its risk, not the next one's.
        copy = path.with_suffix(".copy")
        copy.write_bytes(path.read_bytes()[:-100])
        copy.replace(path)
    assert {name: _say(client, name) for name in spoken} == spoken
    assert all(path.stat().st_size > 0 for path in (hub.data / "cache" / "engines").glob("*.gguf"))


def test_a_new_commit_of_the_weights_is_another_model(ada: httpx.Client, client: openai.OpenAI) -> None:
    first, second = weights(SETTINGS, seed=5), weights(SETTINGS, seed=6)
    old = commit_files(ada, "ada/moving", _files(SETTINGS, first))
    assert _say(client, "ada/moving") == _first_token(first)
    add_files(ada, "ada/moving", {"model.safetensors": safetensors_bytes(second)})
    assert _say(client, "ada/moving") == _first_token(second)
    assert _say(client, f"ada/moving@{old}") == _first_token(first)


def test_weights_of_other_architectures_are_not_offered(ada: httpx.Client, client: openai.OpenAI) -> None:
    files = _files(SETTINGS | {"model_type": "martian"}, weights(SETTINGS))
    commit_files(ada, "ada/martian", files)
    with pytest.raises(openai.NotFoundError, match="no GGUF file, and no weights"):
        _say(client, "ada/martian")


def test_a_model_in_several_files_runs(
    hub: HubProcess, ada: httpx.Client, client: openai.OpenAI, tmp_path: Path
) -> None:
    state = weights(SETTINGS)
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(convert(state, model_files(SETTINGS), "F16")[1])
    parts = _split(whole, tmp_path)
    assert len(parts) == 2
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    for name, held in (("in-parts", parts), ("half", parts[:1])):
        api.create_repo(f"ada/{name}")
        for path in held:
            api.upload_file(path_or_fileobj=str(path), path_in_repo=f"F/{path.name}", repo_id=f"ada/{name}")
    assert _say(client, "ada/in-parts") == _say(client, "ada/in-parts:f16") == _first_token(state)
    needed = ada.get("/v1/models/ada/in-parts").json()["memory_bytes"]
    assert needed["weights"] == sum(path.stat().st_size for path in parts)
    with pytest.raises(openai.NotFoundError, match="no GGUF file"):
        _say(client, "ada/half")


def _split(path: Path, folder: Path) -> list[Path]:
    """The parts of a GGUF as `gguf-split` writes them: all settings in the first."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(folder / "whole-F16.gguf", "llama", split_max_tensors=12)
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            kind = field.types[0]
            items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, items)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("*-of-*.gguf"))
