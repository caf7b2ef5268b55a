"""The stock anthropic client against hosted models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.contract.models import caller, hello, publish, thinker
from tests.contract.server import HubProcess

__all__ = ["caller", "hello", "publish", "thinker"]
# This version of the client has no parameters for sampling; the API has them.
ASK: Any = {
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 64,
    "extra_body": {"temperature": 0},
}
WEATHER: Any = {
    "name": "weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(hub: HubProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=hub.url, api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


def test_a_message(hello: str, client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model=hello, **ASK)
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", hello)
    assert answer.id.startswith("msg_")
    assert [(block.type, block.text) for block in answer.content] == [("text", "hello there, how are you")]
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert answer.usage.output_tokens == 6


def test_stops_and_limits(hello: str, client: anthropic.Anthropic) -> None:
    stopped = client.messages.create(model=hello, stop_sequences=[" are", "xyz"], **ASK)
    assert stopped.content[0].text == "hello there, how"
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " are")
    cut = client.messages.create(model=hello, **ASK | {"max_tokens": 2})
    assert (cut.content[0].text, cut.stop_reason) == ("hello there", "max_tokens")


def test_system_turns_and_cache_show_in_usage(hello: str, client: anthropic.Anthropic) -> None:
    def tokens(**change: Any) -> int:
        usage = client.messages.create(model=hello, **ASK | change).usage
        return usage.input_tokens + usage.cache_read_input_tokens

    alone = tokens()
    assert tokens(system="be brief") == tokens(system=[{"type": "text", "text": "be brief"}]) > alone
    turns = [*ASK["messages"], {"role": "assistant", "content": "yo"}, {"role": "user", "content": "and?"}]
    assert tokens(messages=turns) > alone
    again = client.messages.create(model=hello, **ASK | {"messages": turns}).usage
    assert again.cache_read_input_tokens > again.input_tokens
    counted = client.messages.count_tokens(model=hello, messages=turns, system="be brief")
    assert counted.input_tokens == tokens(messages=turns, system="be brief")


def test_sampling_reaches_the_model(hub: HubProcess, publish: Any, client: anthropic.Anthropic) -> None:
    babbler = publish("babbler")

    def texts(**sampling: float) -> set[str]:
        asked = ASK | {"max_tokens": 12, "extra_body": sampling}
        return {client.messages.create(model=babbler, **asked).content[0].text for _ in range(4)}

    assert len(texts(temperature=1)) > 1
    for narrow in ({"top_k": 1}, {"top_p": 0.0}, {"temperature": 0.0}):
        assert len(texts(**{"temperature": 1} | narrow)) == 1, narrow


def kinds(client: anthropic.Anthropic, **asked: Any) -> list[str]:
    """The types of the events of a raw stream, repetitions once."""
    found: list[str] = []
    with client.messages.create(stream=True, **ASK | asked) as events:
        for event in events:
            if not found or found[-1] != event.type:
                found.append(event.type)
    return found


def test_events_come_in_anthropics_order(
    hello: str, thinker: str, caller: str, hub: HubProcess, client: anthropic.Anthropic
) -> None:
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    ending = ["message_delta", "message_stop"]
    assert kinds(client, model=hello) == ["message_start", *block, *ending]
    assert kinds(client, model=thinker) == ["message_start", *block, *block, *ending]
    assert kinds(client, model=caller, tools=[WEATHER]) == ["message_start", *block, *block, *ending]
    body = {"messages": ASK["messages"], "max_tokens": 64, "model": thinker, "stream": True}
    text = httpx.post(f"{hub.url}/v1/messages", json=body, headers={"x-api-key": hub.tokens["ada"]}).text
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]
    assert names.count("ping") == 1


def test_a_stream_adds_up_to_the_message(
    hello: str, thinker: str, caller: str, client: anthropic.Anthropic
) -> None:
    for asked in (
        {"model": hello},
        {"model": hello, "stop_sequences": [" are"]},
        {"model": thinker},
        {"model": caller, "tools": [WEATHER]},
    ):
        whole = client.messages.create(**ASK | asked)
        with client.messages.stream(**ASK | asked) as stream:
            streamed = stream.get_final_message()
        for message in (whole, streamed):
            for block in message.content:
                if block.type == "tool_use":
                    block.id = "any"
        assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
        assert streamed.stop_reason == whole.stop_reason
        assert streamed.stop_sequence == whole.stop_sequence
        assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_thoughts_are_blocks_of_their_own(thinker: str, client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model=thinker, **ASK)
    thought, said = answer.content
    assert (thought.type, thought.thinking.strip()) == ("thinking", "hmmm")
    assert (said.type, said.text) == ("text", "yes sir")
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": "b"},
    ]
    with_thoughts = client.messages.count_tokens(model=thinker, messages=turns)
    turns[1] = {"role": "assistant", "content": answer.content[1:]}
    without = client.messages.count_tokens(model=thinker, messages=turns)
    assert with_thoughts.input_tokens > without.input_tokens


def test_tools_are_called_and_answered(caller: str, client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model=caller, tools=[WEATHER], **ASK)
    said, call = answer.content
    assert (said.type, said.text) == ("text", "sure")
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "a"})
    assert answer.stop_reason == "tool_use"
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    assert client.messages.create(model=caller, tools=[WEATHER], **ASK | {"messages": turns}).content
    shorter = client.messages.count_tokens(model=caller, messages=turns[:1], tools=[WEATHER])
    longer = client.messages.count_tokens(model=caller, messages=turns, tools=[WEATHER])
    assert longer.input_tokens > shorter.input_tokens


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "clock"}])
def test_a_call_can_be_forced(caller: str, client: anthropic.Anthropic, choice: Any) -> None:
    clock = {"name": "clock", "input_schema": {"type": "object", "properties": {"utc": {"type": "boolean"}}}}
    clock["input_schema"]["required"] = ["utc"]
    enum = {"type": "object", "properties": {"city": {"enum": ["a", "b"]}}, "required": ["city"]}
    tools: Any = [WEATHER | {"input_schema": enum}, clock]
    turns: Any = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "clock", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "noon"}]},
    ]
    asked = ASK | {"max_tokens": 200, "system": "be brief", "messages": turns}
    whole = client.messages.create(model=caller, tools=tools, tool_choice=choice, **asked)
    with client.messages.stream(model=caller, tools=tools, tool_choice=choice, **asked) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        (call,) = message.content
        assert (call.type, message.stop_reason, message.model) == ("tool_use", "tool_use", caller)
        assert call.input in ({"city": "a"}, {"city": "b"}, {"utc": True}, {"utc": False})
        assert choice["type"] == "any" or call.name == "clock"
        assert message.usage.output_tokens > 5
    assert whole.usage.input_tokens + whole.usage.cache_read_input_tokens > 100
    with pytest.raises(anthropic.BadRequestError, match="stop_sequences"):
        client.messages.create(model=caller, tools=tools, tool_choice=choice, stop_sequences=["a"], **asked)
    cut = client.messages.create(model=caller, tools=tools, tool_choice=choice, **asked | {"max_tokens": 3})
    assert cut.stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, r"messages\.0\.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "image"),
        ({"tools": [WEATHER], "tool_choice": {"type": "shout"}}, "tool_choice"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"tools\.0\.type"),
        ({"tools": [WEATHER]}, "chat template"),
        ({"extra_body": {"container": "c"}}, "container"),
        ({"thinking": {"type": "maybe"}}, "thinking"),
        ({"messages": [{"role": "user", "content": "x" * 5000}]}, "context"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    hello: str, client: anthropic.Anthropic, change: dict[str, Any], says: str
) -> None:
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError, match=says) as error:
            client.messages.create(model=hello, stream=stream, **ASK | change)
        assert error.value.body["type"] == "error"
        assert error.value.body["error"]["type"] == "invalid_request_error"


def test_credentials_in_either_header(hello: str, hub: HubProcess) -> None:
    with anthropic.Anthropic(base_url=hub.url, auth_token=hub.tokens["ada"], max_retries=0) as bearer:
        assert bearer.messages.create(model=hello, **ASK).content
    with (
        anthropic.Anthropic(base_url=hub.url, api_key="hf_" + "x" * 37, max_retries=0) as nobody,
        pytest.raises(anthropic.AuthenticationError) as error,
    ):
        nobody.messages.create(model=hello, **ASK)
    assert error.value.body["error"]["type"] == "authentication_error"
    bare = httpx.post(
        f"{hub.url}/v1/messages", json={"messages": ASK["messages"], "max_tokens": 1, "model": hello}
    )
    assert (bare.status_code, bare.json()["error"]["type"]) == (401, "authentication_error")


def test_a_model_that_is_not_there(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.create(model="ada/absent", **ASK)
    assert error.value.body["error"]["type"] == "not_found_error"


def test_models_are_listed_in_anthropics_shape_too(
    hub: HubProcess, hello: str, client: anthropic.Anthropic
) -> None:
    hub.admin("jobs", "--wait")  # a model is listed once it is indexed
    found = {model.id: model for model in client.models.list()}
    assert found[hello].type == "model"
    assert client.models.retrieve(hello) == found[hello]
    with pytest.raises(anthropic.NotFoundError) as error:
        client.models.retrieve("ada/absent")
    assert error.value.body["error"]["type"] == "not_found_error"
