"""What the stock openai client asks beyond text: tools, schemas, log-probabilities, thoughts, usage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest

from tests.contract.models import Publish, caller, hello, publish, thinker
from tests.contract.server import HubProcess

__all__ = ["caller", "hello", "publish", "thinker"]
ASK: Any = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 200, "temperature": 0}


def tool(name: str, **parameters: Any) -> Any:
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


WEATHER = tool(
    "weather",
    type="object",
    properties={"city": {"$ref": "#/$defs/city"}},
    required=["city"],
    additionalProperties=False,
)
WEATHER["function"]["parameters"]["$defs"] = {"city": {"enum": ["a", "b"]}}
CLOCK = tool("clock", type="object", properties={"utc": {"type": "boolean"}}, required=["utc"])


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def babbler(publish: Publish) -> str:
    """Letters without end."""
    return publish("babbler-2")


def test_a_model_calls_a_tool_of_its_own_accord(caller: str, client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(model=caller, tools=[WEATHER, CLOCK], **ASK).choices[0]
    assert choice.message.content == "sure"
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "a"})
    assert choice.finish_reason == "tool_calls"
    turns = [
        *ASK["messages"],
        choice.message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    assert client.chat.completions.create(model=caller, tools=[WEATHER], **ASK | {"messages": turns}).choices


def test_tool_calls_stream(caller: str, client: openai.OpenAI) -> None:
    for choice in ("auto", {"type": "function", "function": {"name": "weather"}}):
        with client.chat.completions.stream(
            model=caller, tools=[WEATHER], tool_choice=choice, **ASK
        ) as stream:
            (found,) = stream.get_final_completion().choices
        (call,) = found.message.tool_calls
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments)["city"] in {"a", "b"}
        assert found.finish_reason == "tool_calls"


@pytest.mark.parametrize("forced", ["required", {"type": "function", "function": {"name": "clock"}}])
def test_a_call_can_be_forced(caller: str, client: openai.OpenAI, forced: Any) -> None:
    for seed in range(3):
        choice = client.chat.completions.create(
            model=caller,
            tools=[WEATHER, CLOCK],
            tool_choice=forced,
            seed=seed,
            **ASK | {"temperature": 1},
        ).choices[0]
        (call,) = choice.message.tool_calls
        arguments = json.loads(call.function.arguments)
        if call.function.name == "clock":
            assert type(arguments["utc"]) is bool
        else:
            assert forced == "required"
            assert arguments["city"] in {"a", "b"}
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)


class Answer(pydantic.BaseModel):
    kind: Literal["cat", "dog"]
    good: bool


def test_answers_keep_to_a_schema(hello: str, client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model=hello, response_format=Answer, **ASK).choices[0].message
    assert parsed.parsed.kind in {"cat", "dog"}
    some = client.chat.completions.create(
        model=hello, response_format={"type": "json_object"}, **ASK | {"max_tokens": 30}
    )
    assert some.choices[0].message.content.lstrip().startswith("{")
    held = client.chat.completions.create(model=hello, **ASK, extra_body={"grammar": 'root ::= "yes" | "no"'})
    assert held.choices[0].message.content in {"yes", "no"}


def test_logprobs(hello: str, client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(model=hello, logprobs=True, top_logprobs=2, **ASK).choices[0]
    assert "".join(one.token for one in chat.logprobs.content).startswith("hello there")
    assert all(len(one.top_logprobs) == 2 and one.logprob <= 0 for one in chat.logprobs.content)
    asked: Any = {"model": hello, "prompt": "\n", "max_tokens": 3, "temperature": 0, "logprobs": 2}
    whole = client.completions.create(**asked).choices[0].logprobs
    assert whole.tokens == ["hello", " there", ", how"]
    assert whole.text_offset == [0, 5, 11]
    assert [max(top, key=top.get) for top in whole.top_logprobs] == whole.tokens
    assert all(top[token] == value for token, value, top in zip(*vars_of(whole), strict=True))
    streamed = [
        chunk.choices[0].logprobs
        for chunk in client.completions.create(stream=True, **asked)
        if chunk.choices and chunk.choices[0].logprobs
    ]
    assert [offset for one in streamed for offset in one.text_offset] == whole.text_offset
    assert [token for one in streamed for token in one.tokens] == whole.tokens


def vars_of(logprobs: Any) -> tuple[Any, Any, Any]:
    return logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs


def test_n_seed_and_stop(babbler: str, client: openai.OpenAI) -> None:
    asked = ASK | {"max_tokens": 12, "temperature": 1}
    two = client.chat.completions.create(model=babbler, n=2, seed=1, **asked).choices
    again = client.chat.completions.create(model=babbler, n=2, seed=1, **asked).choices
    assert [one.message.content for one in two] == [one.message.content for one in again]
    assert two[0].message.content != two[1].message.content
    streamed = client.chat.completions.create(model=babbler, n=2, seed=1, stream=True, **asked)
    assert {choice.index for chunk in streamed for choice in chunk.choices} == {0, 1}
    text = client.chat.completions.create(model=babbler, seed=1, **asked).choices[0].message.content
    stopped = client.chat.completions.create(model=babbler, seed=1, stop=[text[4:7]], **asked).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (text[: text.index(text[4:7])], "stop")


def test_thoughts_are_apart_from_the_answer(thinker: str, client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model=thinker, **ASK).choices[0].message
    assert (message.reasoning_content.strip(), message.content) == ("hmmm", "yes sir")
    deltas = [
        chunk.choices[0].delta for chunk in client.chat.completions.create(model=thinker, stream=True, **ASK)
    ]
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert (thoughts.strip(), "".join(delta.content or "" for delta in deltas)) == ("hmmm", "yes sir")
    raw = client.chat.completions.create(model=thinker, **ASK, extra_body={"reasoning_format": "none"})
    assert "hmmm\n</think>" in raw.choices[0].message.content


def test_usage_shows_what_was_cached(hello: str, client: openai.OpenAI) -> None:
    asked = ASK | {"messages": [{"role": "user", "content": "the same long question " * 5}]}
    client.chat.completions.create(model=hello, **asked)
    usage = client.chat.completions.create(model=hello, **asked).usage
    assert usage.prompt_tokens > usage.prompt_tokens_details.cached_tokens > usage.prompt_tokens / 2
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    plain = list(client.chat.completions.create(model=hello, stream=True, **asked))
    assert all(chunk.usage is None for chunk in plain)
    *_, last = client.chat.completions.create(
        model=hello, stream=True, stream_options={"include_usage": True}, **asked
    )
    assert last.choices == []
    assert last.usage.prompt_tokens == usage.prompt_tokens
    assert last.usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens_details.cached_tokens


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"tools": [WEATHER]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"n": 100}, "n"),
        ({"n": 8}, "n"),
        ({"logit_bias": 5}, "logit_bias"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"verbosity": "low"}, "verbosity"),
        ({"top_logprobs": 99}, "top_logprobs"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    hello: str, client: openai.OpenAI, change: dict[str, Any], names: str
) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(model=hello, stream=stream, **ASK | change)
        assert (error.value.type, error.value.param) == ("invalid_request_error", names)


def test_a_schema_that_cannot_be_followed_is_refused(hello: str, babbler: str, client: openai.OpenAI) -> None:
    broken = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "oops"}}}
    with pytest.raises(openai.BadRequestError, match="oops"):
        client.chat.completions.create(model=hello, response_format=broken, **ASK)
    with pytest.raises(openai.BadRequestError, match="tokenizer"):
        client.chat.completions.create(model=babbler, response_format={"type": "json_object"}, **ASK)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=hello, **ASK, extra_body={"grammar": "root ::= ("})
