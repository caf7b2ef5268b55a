"""A hub whose models run on another hub: stock clients, either API on either side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anthropic
import gguf
import httpx
import openai
import pytest

from tests.contract.models import Publish, caller, hello, publish, thinker
from tests.contract.server import ROOT, HubProcess
from tests.factories.upstream import Exchange, scripted_upstream

__all__ = ["caller", "hello", "publish", "thinker"]
KINDS = ("openai", "anthropic")
HI: Any = [{"role": "user", "content": "hi"}]
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Front:
    """Hub A, which has no models of its own, and whose remotes `openai` and `anthropic` are hub B."""

    def __init__(self, process: HubProcess, key: str) -> None:
        self.process = process
        self.url = process.url
        self.key = key
        self.root = process.tokens["root"]
        self.user = process.tokens["eve"]

    def cli(self, *arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "seedstock", "remote", *arguments],
            env=os.environ
            | {"PYTHONPATH": str(ROOT / "src"), "HF_ENDPOINT": self.url, "HF_TOKEN": self.root}
            | environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def http(self, who: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {who}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def front(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    process = HubProcess(tmp_path_factory.mktemp("front") / "data")
    process.admin("user", "root", "--admin")
    process.admin("user", "eve")
    process.admin("org", "lab", "--member", "root:admin")
    for name in ("root", "eve"):
        process.tokens[name] = process.admin("token", name, "--role", "write")
    process.start()
    front = Front(process, hub.tokens["ada-read"])
    try:
        added = front.cli("add", "openai", "--url", f"{hub.url}/v1", "--key-stdin", "--json", stdin=front.key)
        assert added.returncode == 0, added.stderr
        assert json.loads(added.stdout)["test"]["ok"], added.stdout
        added = front.cli(
            "add", "anthropic", "--kind", "anthropic", "--url", hub.url, SEEDSTOCK_REMOTE_KEY=front.key
        )
        assert added.returncode == 0, added.stderr
        yield front
    finally:
        process.stop()
    assert not process.failures()
    _check_secret(front)


def _check_secret(front: Front) -> None:
    """The key is nowhere that this hub wrote, but for its ciphertext."""
    key = front.key.encode()
    written = [path for path in front.process.data.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" or "sqlite" in path.name for path in written), written
    for path in [*written, front.process.log]:
        assert key not in path.read_bytes(), path


@pytest.fixture
def chat(front: Front) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=front.user, max_retries=0) as client:
        yield client


@pytest.fixture
def messages(front: Front) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=front.url, api_key=front.user, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_chats(kind: str, hello: str, chat: openai.OpenAI) -> None:
    name = f"remote/{kind}/{hello}"
    answer = chat.chat.completions.create(model=name, messages=HI, temperature=0, max_tokens=64)
    assert (answer.model, answer.choices[0].message.role) == (name, "assistant")
    assert answer.choices[0].message.content == "hello there, how are you"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer.usage.prompt_tokens > 0
    cut = chat.chat.completions.create(model=name, messages=HI, temperature=0, max_completion_tokens=2)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("hello there", "length")
    stopped = chat.chat.completions.create(model=name, messages=HI, temperature=0, stop=" are")
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (
        "hello there, how",
        "stop",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_chats(kind: str, hello: str, chat: openai.OpenAI) -> None:
    name = f"remote/{kind}/{hello}"
    chunks = list(
        chat.chat.completions.create(
            model=name, messages=HI, temperature=0, max_tokens=64, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == "hello there, how are you"
    assert len([text for text in said if text]) > 2, "in pieces"
    assert {chunk.model for chunk in chunks} == {name}
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


@pytest.mark.parametrize("kind", KINDS)
def test_messages(kind: str, hello: str, messages: anthropic.Anthropic) -> None:
    name = f"remote/{kind}/{hello}"
    ask: Any = {"model": name, "messages": HI, "max_tokens": 64, "extra_body": {"temperature": 0}}
    answer = messages.messages.create(**ask, system="be brief")
    assert (answer.type, answer.role, answer.model, answer.stop_reason) == (
        "message", "assistant", name, "end_turn",
    )  # fmt: skip
    assert answer.id.startswith("msg_")
    assert [(block.type, block.text) for block in answer.content] == [("text", "hello there, how are you")]
    assert answer.usage.output_tokens == 6
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) > 0
    with messages.messages.stream(**ask) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].text == "hello there, how are you"
    assert final.usage.output_tokens == 6
    assert (final.stop_reason, final.model) == ("end_turn", name)
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


@pytest.mark.parametrize("kind", KINDS)
def test_thoughts_in_either_api(
    kind: str, thinker: str, chat: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    name = f"remote/{kind}/{thinker}"
    answer = chat.chat.completions.create(model=name, messages=HI, temperature=0, max_tokens=64)
    told: Any = answer.choices[0].message
    assert (told.reasoning_content.strip(), told.content) == ("hmmm", "yes sir")
    pieces: list[Any] = [
        choice.delta
        for chunk in chat.chat.completions.create(
            model=name, messages=HI, temperature=0, max_tokens=64, stream=True
        )
        for choice in chunk.choices
    ]
    assert "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces).strip() == "hmmm"
    assert "".join(piece.content or "" for piece in pieces).strip() == "yes sir"
    ask: Any = {"model": name, "messages": HI, "max_tokens": 64, "extra_body": {"temperature": 0}}
    whole = messages.messages.create(**ask)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert whole.content[0].thinking.strip() == "hmmm"
    with messages.messages.stream(**ask) as stream:
        assert [block.type for block in stream.get_final_message().content] == ["thinking", "text"]


@pytest.mark.parametrize("kind", KINDS)
def test_tools_and_their_results(
    kind: str, caller: str, hello: str, chat: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    name = f"remote/{kind}/{caller}"
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
    for stream in (False, True):
        call = _call(chat, name, tools, stream=stream)
        assert (call["name"], json.loads(call["arguments"])) == ("weather", {"city": "a"})
    turns: Any = [
        *HI,
        {
            "role": "assistant",
            "content": "sure",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "a"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    answer = chat.chat.completions.create(model=name, messages=turns, tools=tools, temperature=0)
    assert answer.choices[0].message.tool_calls
    theirs: Any = [{"name": "weather", "input_schema": CITY}]
    ask: Any = {"model": name, "max_tokens": 64, "tools": theirs, "extra_body": {"temperature": 0}}
    called = messages.messages.create(**ask, messages=HI)
    assert called.stop_reason == "tool_use"
    assert [block.type for block in called.content] == ["text", "tool_use"]
    assert (called.content[1].name, called.content[1].input) == ("weather", {"city": "a"})
    result = {"type": "tool_result", "tool_use_id": called.content[1].id, "content": "rain"}
    turns = [*HI, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    with messages.messages.stream(**ask, messages=turns) as events:
        final = events.get_final_message()
    assert final.stop_reason == "tool_use"
    assert final.content[-1].input == {"city": "a"}


def _call(chat: openai.OpenAI, name: str, tools: Any, *, stream: bool) -> dict[str, str]:
    asked: Any = {"model": name, "messages": HI, "tools": tools, "temperature": 0, "max_tokens": 64}
    if not stream:
        choice = chat.chat.completions.create(**asked).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls or []
        return {"name": call.function.name, "arguments": call.function.arguments}
    with chat.chat.completions.stream(**asked) as events:
        final = events.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    (made,) = final.message.tool_calls or []
    return {"name": made.function.name, "arguments": made.function.arguments}


@pytest.mark.parametrize("kind", KINDS)
def test_responses(kind: str, hello: str, chat: openai.OpenAI) -> None:
    name = f"remote/{kind}/{hello}"
    answer = chat.responses.create(model=name, input="hi", temperature=0)
    assert (answer.model, answer.status, answer.output_text) == (
        name,
        "completed",
        "hello there, how are you",
    )
    assert answer.usage is not None
    assert answer.usage.output_tokens == 6
    with chat.responses.stream(model=name, input="hi", temperature=0) as events:
        for _ in events:
            pass
        final = events.get_final_response()
    assert final.output_text == "hello there, how are you"
    assert final.usage is not None
    assert final.usage.output_tokens == 6


def test_completions_and_embeddings_where_upstream_has_them(
    publish: Publish, hello: str, chat: openai.OpenAI
) -> None:
    babbler = f"remote/openai/{publish('babbler')}"
    told = chat.completions.create(model=babbler, prompt="hi", temperature=0, max_tokens=3, seed=1)
    assert told.choices[0].text
    pieces = chat.completions.create(
        model=babbler, prompt="hi", temperature=0, max_tokens=3, seed=1, stream=True
    )
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == told.choices[0].text
    vectors = f"remote/openai/{publish('vectors', pooling=gguf.PoolingType.MEAN)}"
    made = chat.embeddings.create(model=vectors, input=["a red cat", "a blue dog"])
    assert made.model == vectors
    assert {len(one.embedding) for one in made.data} == {64}
    # This model makes no embeddings, and the upstream's own words for that come through.
    with pytest.raises(openai.BadRequestError, match=r"makes no embeddings.*said by the remote 'openai'"):
        chat.embeddings.create(model=f"remote/openai/{hello}", input="hi")
    with pytest.raises(openai.BadRequestError, match="speaks Anthropic's API: they have no completions"):
        chat.completions.create(model=f"remote/anthropic/{hello}", prompt="hi")
    with pytest.raises(openai.BadRequestError, match="they make no embeddings"):
        chat.embeddings.create(model=f"remote/anthropic/{hello}", input="hi")


def test_counting_tokens(hello: str, messages: anthropic.Anthropic) -> None:
    name = f"remote/anthropic/{hello}"
    assert messages.messages.count_tokens(model=name, messages=HI).input_tokens > 0
    with pytest.raises(anthropic.BadRequestError, match="they count no tokens"):
        messages.messages.count_tokens(model=f"remote/openai/{hello}", messages=HI)


def test_models_are_listed_as_closed(
    hello: str, front: Front, chat: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    assert front.cli("test", "openai").returncode == 0
    assert front.cli("test", "anthropic").returncode == 0
    listed: dict[str, Any] = {model.id: model for model in chat.models.list()}
    for kind in KINDS:
        model = listed[f"remote/{kind}/{hello}"]
        assert (model.object, model.owned_by, model.closed) == ("model", kind, True)
        one: Any = chat.models.retrieve(model.id)
        assert (one.id, one.closed) == (model.id, True)
        theirs: Any = messages.models.retrieve(model.id)
        assert (theirs.type, theirs.id, theirs.closed) == ("model", model.id, True)
    assert f"remote/openai/{hello}" in {model.id for model in messages.models.list()}
    with pytest.raises(openai.NotFoundError):
        chat.models.retrieve("remote/nowhere/x")


def test_refusals_have_the_shape_of_the_callers_api(
    hello: str, chat: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    for kind in KINDS:
        with pytest.raises(openai.NotFoundError) as absent:
            chat.chat.completions.create(model=f"remote/{kind}/ada/nothing", messages=HI)
        assert absent.value.code == "model_not_found"
        with pytest.raises(anthropic.NotFoundError) as gone:
            messages.messages.create(model=f"remote/{kind}/ada/nothing", messages=HI, max_tokens=5)
        assert gone.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    with pytest.raises(openai.BadRequestError, match="'temperature' must be"):
        chat.chat.completions.create(model=f"remote/openai/{hello}", messages=HI, temperature=5)
    with pytest.raises(openai.BadRequestError, match="'seed' has no counterpart in Anthropic's API"):
        chat.chat.completions.create(model=f"remote/anthropic/{hello}", messages=HI, seed=1)
    with pytest.raises(openai.NotFoundError):
        chat.chat.completions.create(model=f"remote/nowhere/{hello}", messages=HI)


def test_only_those_named_may_use_a_remote(front: Front, hub: HubProcess, hello: str) -> None:
    name = f"remote/labs-own/{hello}"
    done = front.cli(
        "add",
        "labs-own",
        "--url",
        f"{hub.url}/v1",
        "--model",
        hello,
        "--for",
        "lab",
        "--key-stdin",
        stdin=front.key,
    )
    assert done.returncode == 0, done.stderr
    asked = {"model": name, "messages": HI, "max_tokens": 2}
    with front.http(front.user) as eve, front.http(front.root) as root:
        refused = eve.post("/v1/chat/completions", json=asked)
        absent = eve.post("/v1/chat/completions", json=asked | {"model": "remote/labs-owned/x"})
        assert refused.status_code == absent.status_code == 404
        shown = refused.json()["error"]["message"].replace(name, "X")
        assert shown == absent.json()["error"]["message"].replace("remote/labs-owned/x", "X")
        assert name not in eve.get("/v1/models").text
        assert root.post("/v1/chat/completions", json=asked).status_code == 200
        assert root.post("/v1/chat/completions", json=asked | {"model": name + "x"}).status_code == 404
        for method, path in (
            ("GET", ""), ("POST", ""), ("GET", "/openai"), ("PATCH", "/openai"), ("DELETE", "/openai"), ("POST", "/openai/test"),
        ):  # fmt: skip
            body = (
                {"name": "a1", "kind": "openai", "url": "http://x/v1"}
                if method in {"POST", "PATCH"}
                else None
            )
            assert eve.request(method, f"/api/remotes{path}", json=body).status_code == 403
        assert httpx.get(f"{front.url}/api/remotes", trust_env=False).status_code == 401
    changed = front.cli("change", "labs-own", "--for", "lab", "--for", "eve")
    assert changed.returncode == 0, changed.stderr
    with front.http(front.user) as eve:
        assert eve.post("/v1/chat/completions", json=asked).status_code == 200
    assert front.cli("remove", "labs-own").returncode == 0
    with front.http(front.user) as eve:
        assert eve.post("/v1/chat/completions", json=asked).status_code == 404


def test_commands_never_show_the_key(front: Front) -> None:
    outputs = [front.cli("list"), front.cli("list", "--json"), front.cli("test", "openai", "--json")]
    changed = front.cli("change", "openai", "--key-stdin", "--json", stdin=front.key)
    for done in [*outputs, changed]:
        assert done.returncode == 0, done.stderr
        assert front.key not in done.stdout + done.stderr
    assert "openai" in outputs[0].stdout
    assert json.loads(outputs[1].stdout)[1]["key"] == "set"
    moved = front.cli("change", "openai", "--url", "http://127.0.0.1:1/v1")
    assert moved.returncode == 1
    assert "A new address needs the key again" in moved.stderr
    with front.http(front.root) as root:
        for path in ("/api/remotes", "/api/remotes/openai", "/v1/models"):
            assert front.key not in root.get(path).text


def test_a_wrong_key_is_no_fault_of_the_callers(
    front: Front, hub: HubProcess, hello: str, chat: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    front.process.expected.append("refuses the key that this hub has")
    wrong = "hf_" + "w" * 37
    for kind, url in (("openai", f"{hub.url}/v1"), ("anthropic", hub.url)):
        added = front.cli("add", f"wrong-{kind}", "--kind", kind, "--url", url, "--key-stdin", stdin=wrong)
        assert added.returncode == 0, added.stderr
        assert "refuses the key" in added.stderr
        with pytest.raises(openai.APIStatusError, match="refuses the key") as refused:
            chat.chat.completions.create(model=f"remote/wrong-{kind}/{hello}", messages=HI)
        assert refused.value.status_code == 502
        with pytest.raises(anthropic.APIStatusError, match="refuses the key") as again:
            messages.messages.create(model=f"remote/wrong-{kind}/{hello}", messages=HI, max_tokens=5)
        assert again.value.status_code == 502
        assert wrong not in str(refused.value) + str(again.value) + added.stdout + added.stderr


def test_the_example_of_a_remote_without_a_key_says_so(front: Front, hub: HubProcess) -> None:
    added = front.cli("add", "bare", "--url", f"{hub.url}/v1", "--no-key", "--json")
    told = json.loads(added.stdout)
    assert told["key"] == "none"
    assert not told["test"]["ok"]
    assert front.cli("test", "bare").returncode == 1
    assert front.cli("add", "bare", "--url", f"{hub.url}/v1", "--no-key").returncode == 5
    assert front.cli("add", "Bad Name", "--url", f"{hub.url}/v1", "--no-key").returncode == 1
    assert front.cli("remove", "bare").returncode == 0
    assert front.cli("test", "bare").returncode == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "messages"])
def test_who_hangs_up_here_hangs_up_there(front: Front, stream: bool, path: str) -> None:
    reached, gone = threading.Event(), threading.Event()

    def script(asked: Exchange) -> None:
        if asked.method == "GET":
            asked.answer(200, {"data": []})
            return
        if stream:
            asked.events({"choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": None}]})
        reached.set()
        if asked.gone(60):
            gone.set()

    name = f"slow-{stream}-{path[:4]}".lower()
    with scripted_upstream(script) as there:
        added = front.cli("add", name, "--url", f"{there.url}/v1", "--no-key", "--model", "m")
        assert added.returncode == 0, added.stderr
        asked = {"model": f"remote/{name}/m", "messages": HI, "max_tokens": 9, "stream": stream}
        connection = HTTPConnection(urlsplit(front.url).netloc, timeout=60)
        headers = {"Authorization": f"Bearer {front.user}", "Content-Type": "application/json"}
        connection.request("POST", f"/v1/{path}", json.dumps(asked), headers)
        assert reached.wait(60)
        if stream:
            answer = connection.getresponse()
            assert answer.status == 200
            assert any(b"one" in line for line in answer)
            answer.close()
        connection.close()
        assert gone.wait(20)
        assert front.cli("remove", name).returncode == 0


def test_another_secret_key_is_told_in_one_line(front: Front, hello: str) -> None:
    path = Path(front.process.data / "secret.key")
    kept = path.read_bytes()
    front.process.expected.append("cannot be decrypted")
    front.process.stop()
    path.write_bytes(os.urandom(32))
    front.process.start()
    try:
        front.url = front.process.url
        asked = {"model": f"remote/openai/{hello}", "messages": HI}
        with front.http(front.user) as eve:
            answer = eve.post("/v1/chat/completions", json=asked)
        assert answer.status_code == 503
        assert "cannot be decrypted" in answer.json()["error"]["message"]
        assert "unreadable" in front.cli("list").stdout
        told = front.cli("test", "openai")
        assert told.returncode == 1
        assert len(told.stderr.strip().splitlines()) == 1
    finally:
        front.process.stop()
        path.write_bytes(kept)
        front.process.start()
        front.url = front.process.url
    with front.http(front.user) as eve:
        assert eve.post("/v1/chat/completions", json=asked).status_code == 200
