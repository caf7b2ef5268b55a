"""The stock openai client against a hosted model, and llama.cpp's way of finding one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from huggingface_hub import HfApi

from tests.contract.server import HubProcess
from tests.factories.gguf_model import write_tiny_llama

REPO = "ada/tiny"
FILE = "tiny-F32.gguf"
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def model(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, public as ada/tiny and private as ada/tiny-private."""
    path = tmp_path_factory.mktemp("model") / FILE
    write_tiny_llama(path)
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    for name, private in ((REPO, False), (f"{REPO}-private", True)):
        api.create_repo(name, private=private)
        api.upload_file(path_or_fileobj=str(path), path_in_repo=FILE, repo_id=name)
    api.create_tag(REPO, tag="v1")
    hub.admin("jobs", "--wait")
    return path


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


@pytest.mark.parametrize("name", [REPO, f"{REPO}:{FILE}", f"{REPO}:f32", f"{REPO}@v1", f"{REPO}:F32@main"])
def test_every_way_to_name_a_model(model: Path, client: openai.OpenAI, name: str) -> None:
    answer = client.chat.completions.create(model=name, messages=MESSAGES, max_tokens=5, seed=1)
    assert answer.model == name
    assert answer.choices[0].message.role == "assistant"
    assert 1 <= answer.usage.completion_tokens <= 5


def test_streams(model: Path, client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=REPO, messages=MESSAGES, max_tokens=6, stream=True, stream_options={"include_usage": True}
        )
    )
    assert {chunk.model for chunk in chunks} == {REPO}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= 6
    assert any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)


def test_plain_completions(model: Path, client: openai.OpenAI) -> None:
    answer = client.completions.create(model=REPO, prompt="a b c", max_tokens=4, temperature=0)
    again = client.completions.create(model=REPO, prompt="a b c", max_tokens=4, temperature=0)
    assert answer.choices[0].text == again.choices[0].text
    assert answer.object == "text_completion"


def test_models_are_listed_to_those_who_may_run_them(
    model: Path, hub: HubProcess, client: openai.OpenAI
) -> None:
    assert {REPO, f"{REPO}-private"} <= {item.id for item in client.models.list()}
    assert client.models.retrieve(REPO).owned_by == "ada"
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["bob"], max_retries=0) as bob:
        names = {item.id for item in bob.models.list()}
    assert REPO in names
    assert f"{REPO}-private" not in names


def test_strangers_cannot_run_private_models_nor_tell_them_from_missing_ones(
    model: Path, hub: HubProcess
) -> None:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["bob"], max_retries=0) as bob:
        texts = []
        for name in (f"{REPO}-private", f"{REPO}-absent"):
            with pytest.raises(openai.NotFoundError) as error:
                bob.chat.completions.create(model=name, messages=MESSAGES)
            texts.append(error.value.body["message"])
        assert texts[0] == texts[1]
    with (
        openai.OpenAI(base_url=f"{hub.url}/v1", api_key="hf_" + "x" * 37, max_retries=0) as nobody,
        pytest.raises(openai.AuthenticationError),
    ):
        nobody.models.list()
    assert (
        httpx.post(f"{hub.url}/v1/chat/completions", json={"model": REPO, "messages": MESSAGES}).status_code
        == 401
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"model": "no-slash"}, "no-slash"),
        ({"model": f"{REPO}:"}, "follows"),
        ({"temperature": 99}, "temperature"),
    ],
)
def test_bad_requests_are_named(model: Path, hub: HubProcess, change: dict[str, object], says: str) -> None:
    body = {"model": REPO, "messages": MESSAGES, **change}
    answer = httpx.post(
        f"{hub.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {hub.tokens['ada']}"}
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]


def test_too_long_a_prompt_is_a_clear_refusal(model: Path, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context"):
        client.chat.completions.create(model=REPO, messages=[{"role": "user", "content": "a " * 20_000}])


def test_llama_cpp_finds_and_fetches_a_model(model: Path, hub: HubProcess) -> None:
    """The requests of `llama.cpp -hf ada/tiny`: refs, one page of the tree, HEAD and GET of the file."""
    with httpx.Client(base_url=hub.url, headers={"User-Agent": "llama-cpp/b7000"}) as http:
        branches = http.get(f"/api/models/{REPO}/refs").json()["branches"]
        commit = next(branch["targetCommit"] for branch in branches if branch["name"] == "main")
        tree = http.get(f"/api/models/{REPO}/tree/{commit}", params={"recursive": "true"})
        assert "link" not in tree.headers
        entry = next(entry for entry in tree.json() if entry["path"].endswith(".gguf"))
        head = http.head(f"/{REPO}/resolve/{commit}/{entry['path']}")
        assert head.headers["accept-ranges"] == "bytes"
        assert head.headers["etag"].strip('"') == entry["lfs"]["oid"]
        assert int(head.headers["content-length"]) == entry["size"]
        body = http.get(f"/{REPO}/resolve/{commit}/{entry['path']}")
        rest = http.get(f"/{REPO}/resolve/{commit}/{entry['path']}", headers={"Range": "bytes=1000-"})
    assert hashlib.sha256(body.content).hexdigest() == entry["lfs"]["oid"]
    assert rest.status_code == 206
    assert rest.content == body.content[1000:]
