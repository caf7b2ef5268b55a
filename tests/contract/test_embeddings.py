"""Vectors and tokens through the stock openai client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import openai
import pytest
from huggingface_hub import HfApi

from tests.contract.models import Publish, publish, publish_file
from tests.contract.server import HubProcess
from tests.factories.gguf_encoder import write_tiny_bert

__all__ = ["publish"]


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def vectors(publish: Publish) -> str:
    return publish("vectors", pooling=gguf.PoolingType.MEAN)


@pytest.fixture(scope="module")
def plain(publish: Publish) -> str:
    return publish("plain")


def test_embeddings(vectors: str, client: openai.OpenAI) -> None:
    texts = ["a red cat", "a blue dog", "a red cat"]
    answer = client.embeddings.create(model=vectors, input=texts)  # the client asks for base64
    assert answer.model == vectors
    assert [one.index for one in answer.data] == [0, 1, 2]
    assert {len(one.embedding) for one in answer.data} == {64}
    first, second, third = (one.embedding for one in answer.data)
    assert first == pytest.approx(third, abs=1e-3)
    assert first != pytest.approx(second, abs=1e-2)
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 20
    floats = client.embeddings.create(model=vectors, input=texts[0], encoding_format="float").data[0]
    assert floats.embedding == pytest.approx(first, abs=1e-3)
    tokens = client.embeddings.create(model=vectors, input=[[5, 6], [7]], encoding_format="float")
    assert len(tokens.data) == 2


def test_an_encoder_embeds_and_says_nothing(hub: HubProcess, client: openai.OpenAI, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    encoder = publish_file(api, "ada/encoder", write_tiny_bert(tmp_path / "encoder-F32.gguf"))
    asked = {"model": encoder, "encoding_format": "float"}
    first, second, third = (
        one.embedding for one in client.embeddings.create(input=["a b", "b a", "a b"], **asked).data
    )
    assert first == pytest.approx(third, abs=1e-3)
    assert first != pytest.approx(second, abs=1e-3)
    with pytest.raises(openai.BadRequestError, match="too large"):
        client.embeddings.create(input="a " * 200, **asked)
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="no text"):
            client.chat.completions.create(
                model=encoder, messages=[{"role": "user", "content": "a"}], stream=stream
            )


def test_a_model_with_embeddings_still_talks(vectors: str, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=vectors, messages=[{"role": "user", "content": "a"}], max_tokens=3
    )
    assert answer.choices[0].message.content


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dimensions": 8}, "dimensions"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [10**8]}, "tokens"),
        ({"input": "a" * 2100}, "too large"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"extra_body": {"input_type": "query"}}, "input_type"),
    ],
)
def test_refusals(vectors: str, client: openai.OpenAI, change: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.embeddings.create(**{"model": vectors, "input": "a"} | change)


def test_a_model_without_pooling_makes_none(plain: str, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="pooling"):
        client.embeddings.create(model=plain, input="a")


def test_tokens_there_and_back(plain: str, http: httpx.Client) -> None:
    asked = {"model": plain, "prompt": "ab \u00e9"}
    tokens = http.post("/v1/tokenize", json=asked).json()
    assert tokens["count"] == len(tokens["tokens"]) == 7
    assert tokens["token_strs"] is None
    shown = http.post("/v1/tokenize", json=asked | {"return_token_strs": True}).json()
    assert shown["tokens"] == tokens["tokens"]
    assert shown["token_strs"] == ["<s>", " ", "a", "b", " ", "\ufffd", "\ufffd"]
    bare = http.post("/v1/tokenize", json=asked | {"add_special_tokens": False}).json()["tokens"]
    assert bare == tokens["tokens"][1:]
    back = http.post("/v1/detokenize", json={"model": plain, "tokens": bare})
    assert back.json() == {"prompt": " ab \u00e9"}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("tokenize", {}, "prompt"),
        ("tokenize", {"prompt": 5}, "prompt"),
        ("tokenize", {"messages": []}, "messages"),
        ("detokenize", {}, "tokens"),
        ("detokenize", {"tokens": [-1]}, "tokens"),
        ("detokenize", {"tokens": [100_000]}, "tokens"),
        ("detokenize", {"tokens": ["a"]}, "tokens"),
    ],
)
def test_bad_tokens_are_named(
    plain: str, http: httpx.Client, path: str, body: dict[str, Any], says: str
) -> None:
    answer = http.post(f"/v1/{path}", json={"model": plain} | body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
