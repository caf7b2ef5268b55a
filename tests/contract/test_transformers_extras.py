"""What the stock clients ask of models that run with transformers beyond text: schemas, grammars, tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import anthropic
import openai
import pydantic
import pytest
from huggingface_hub import HfApi

from tests.contract.models import CALL
from tests.contract.server import HubProcess
from tests.factories.gguf_model import TOOLS
from tests.factories.tiny_transformers import write_gpt2

pytestmark = pytest.mark.xdist_group("transformers-extras")
ASK: Any = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 200}


@pytest.fixture(scope="module")
def caller(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Says `sure`, and calls the tool `weather` for the city `a`; whatever else it has to say is chance."""
    folder = write_gpt2(tmp_path_factory.mktemp("caller"), chat=TOOLS, positions=2048, script=CALL)
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo("ada/gpt2-caller")
    api.upload_folder(repo_id="ada/gpt2-caller", folder_path=str(folder))
    return "ada/gpt2-caller"


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


class Animal(pydantic.BaseModel):
    kind: Literal["cat", "dog"]
    legs: Literal[2, 4]
    good: bool


def test_answers_keep_to_a_schema(caller: str, client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model=caller, response_format=Animal, **ASK, n=3).choices
    assert [choice.finish_reason for choice in parsed] == ["stop"] * 3
    assert all(choice.message.parsed for choice in parsed)
    asked = ASK | {"max_tokens": 400, "temperature": 0, "n": 2}
    greedy = client.chat.completions.parse(model=caller, response_format=Animal, **asked)
    assert greedy.choices[0].message.parsed == greedy.choices[1].message.parsed
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "animal",
            "schema": Animal.model_json_schema() | {"additionalProperties": False},
        },
    }
    chunks = client.chat.completions.create(
        model=caller, response_format=schema, **ASK, seed=3, stream=True, logprobs=True
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert Animal.model_validate_json(said)
    whole = client.chat.completions.create(model=caller, response_format=schema, **ASK, seed=3).choices[0]
    assert whole.message.content == said


def test_any_object_and_any_grammar(caller: str, client: openai.OpenAI) -> None:
    closing = {"125": 90}  # the brace
    some = client.chat.completions.create(
        model=caller, response_format={"type": "json_object"}, logit_bias=closing, **ASK
    )
    assert json.loads(some.choices[0].message.content or "") == {}
    grammar = 'root ::= word (", " word){2}\nword ::= "yes" | [a-c]+ "!"'
    for asked in (ASK, ASK | {"temperature": 0}):
        held = client.chat.completions.create(model=caller, **asked, extra_body={"grammar": grammar})
        words = str(held.choices[0].message.content).split(", ")
        assert len(words) == 3, words
        assert all(word == "yes" or set(word[:-1]) <= set("abc") for word in words)
    text = client.completions.create(
        model=caller, prompt=["a", "b"], extra_body={"grammar": 'root ::= "x"{4}'}, max_tokens=9
    )
    assert [choice.text for choice in text.choices] == ["xxxx", "xxxx"]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "#"}, "NoExtension"),
        ({"not": {}}, "not"),
        (
            {"allOf": [{"anyOf": [{"required": [f"{n}{side}"]} for side in "ab"]} for n in range(60)]},
            "too large",
        ),
        ({"enum": ["x" * 1000] * 100}, "longer than"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "does not fetch"),
        ({"type": "object", "properties": {f"p{n}": {} for n in range(1500)}}, "items"),
        ({"type": "string", "pattern": "(?=a)(a+)+"}, "regex"),
    ],
)
def test_schemas_that_cannot_be_followed_are_refused(
    caller: str, client: openai.OpenAI, schema: dict[str, Any], says: str
) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(model=caller, response_format=wanted, **ASK)


def tool(name: str, **properties: Any) -> Any:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


WEATHER, CLOCK = tool("weather", city={"enum": ["a", "b"]}), tool("clock", utc={"type": "boolean"})
GREEDY = ASK | {"temperature": 0}


def test_a_model_calls_a_tool_of_its_own_accord(caller: str, client: openai.OpenAI) -> None:
    asked: Any = {"model": caller, "tools": [WEATHER, CLOCK]}
    choice = client.chat.completions.create(**asked, **GREEDY).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("sure", "tool_calls")
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "a"})
    with client.chat.completions.stream(**asked, **GREEDY) as stream:
        pieces = [
            event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"
        ]
        streamed = stream.get_final_completion().choices[0]
    assert streamed.message.tool_calls
    assert streamed.message.tool_calls[0].function.arguments == call.function.arguments == "".join(pieces)
    assert (streamed.message.content, streamed.finish_reason) == ("sure", "tool_calls")
    assert len([piece for piece in pieces if piece]) > 1
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns = [*ASK["messages"], choice.message, result]
    answered = client.chat.completions.create(**asked, **GREEDY | {"messages": turns})
    assert answered.usage
    first = client.chat.completions.create(**asked, **GREEDY).usage
    assert first
    assert answered.usage.prompt_tokens > first.prompt_tokens + len("weathersunny")
    silent = client.chat.completions.create(**asked, **GREEDY, tool_choice="none").choices[0]
    assert silent.message.tool_calls is None
    assert str(silent.message.content).startswith('sure\n{"name"')
    cut = client.chat.completions.create(**asked, **GREEDY | {"max_tokens": 5}).choices[0]
    assert cut.finish_reason == "length"


@pytest.mark.parametrize("forced", ["required", {"type": "function", "function": {"name": "clock"}}])
def test_a_call_can_be_forced(caller: str, client: openai.OpenAI, forced: Any) -> None:
    asked: Any = {"model": caller, "tools": [WEATHER, CLOCK], "tool_choice": forced}
    for stream in (False, True):
        if stream:
            with client.chat.completions.stream(**asked, **ASK) as events:
                choice: Any = events.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(**asked, **ASK).choices[0]
        (call,) = choice.message.tool_calls
        arguments = json.loads(call.function.arguments)
        assert arguments in (
            [{"utc": True}, {"utc": False}]
            if call.function.name == "clock"
            else [{"city": "a"}, {"city": "b"}]
        )
        assert forced == "required" or call.function.name == "clock"
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)


def test_tools_of_anthropic_s_client(caller: str, hub: HubProcess) -> None:
    tools: Any = [
        {"name": one["function"]["name"], "input_schema": one["function"]["parameters"]}
        for one in (WEATHER, CLOCK)
    ]
    asked: Any = {"model": caller, "tools": tools, "messages": ASK["messages"], "max_tokens": 200}
    greedy: Any = asked | {"extra_body": {"temperature": 0}}
    with anthropic.Anthropic(base_url=hub.url, api_key=hub.tokens["ada"], max_retries=0) as claude:
        said, call = claude.messages.create(**greedy).content
        assert (said.type, said.text) == ("text", "sure")
        assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "a"})
        with claude.messages.stream(**greedy) as stream:
            final = stream.get_final_message()
        assert final.stop_reason == "tool_use"
        assert [block.type for block in final.content] == ["text", "tool_use"]
        assert final.content[1].input == {"city": "a"}
        turns = [
            *ASK["messages"],
            {"role": "assistant", "content": final.content},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}],
            },
        ]
        assert claude.messages.create(**greedy | {"messages": turns}).content
        forced = claude.messages.create(**asked, tool_choice={"type": "tool", "name": "clock"})
        (block,) = forced.content
        assert (block.type, block.name, forced.stop_reason) == ("tool_use", "clock", "tool_use")
        assert block.input in ({"utc": True}, {"utc": False})
