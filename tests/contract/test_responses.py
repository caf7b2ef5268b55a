"""OpenAI's Responses through the stock client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest

from tests.contract.models import hello, publish, thinker
from tests.contract.server import HubProcess

__all__ = ["hello", "publish", "thinker"]
ASK: Any = {"input": "hi", "temperature": 0}


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


def test_a_response(hello: str, client: openai.OpenAI) -> None:
    answer = client.responses.create(model=hello, metadata={"a": "b"}, **ASK)
    assert (answer.object, answer.status, answer.model) == ("response", "completed", hello)
    assert answer.output_text == "hello there, how are you"
    assert answer.metadata == {"a": "b"}
    assert answer.usage.output_tokens == 6
    assert answer.usage.total_tokens == answer.usage.input_tokens + 6
    again = client.responses.create(model=hello, **ASK).usage
    assert again.input_tokens > again.input_tokens_details.cached_tokens > 0


def test_one_that_is_cut_short(hello: str, client: openai.OpenAI) -> None:
    answer = client.responses.create(model=hello, max_output_tokens=2, **ASK)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.output_text == "hello there"
    *_, last = client.responses.create(model=hello, max_output_tokens=2, stream=True, **ASK)
    assert (last.type, last.response.output_text) == ("response.incomplete", "hello there")


def test_instructions_and_earlier_turns_are_part_of_the_prompt(
    hello: str, thinker: str, client: openai.OpenAI
) -> None:
    def tokens(model: str = hello, **change: Any) -> int:
        return client.responses.create(model=model, **ASK | change).usage.input_tokens

    alone = tokens()
    assert tokens(input=[{"role": "user", "content": "hi"}]) == alone
    assert tokens(input=[{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]) == alone
    instructed = tokens(instructions="be brief")
    assert instructed == tokens(
        input=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]
    )
    assert instructed > alone
    first = client.responses.create(model=thinker, **ASK)
    turns = [{"role": "user", "content": "hi"}, *first.output, {"role": "user", "content": "and?"}]
    assert tokens(thinker, input=turns) > tokens(thinker, input=[turns[0], *turns[2:]]) > tokens(thinker)


def test_events_add_up(hello: str, thinker: str, client: openai.OpenAI) -> None:
    for model in (hello, thinker):
        whole = client.responses.create(model=model, **ASK)
        with client.responses.stream(model=model, **ASK) as stream:
            streamed = stream.get_final_response()
        assert streamed.output_text == whole.output_text != ""
        assert [one.type for one in streamed.output] == [one.type for one in whole.output]
        assert [one.content[0].text for one in streamed.output] == [
            one.content[0].text for one in whole.output
        ]
        assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_the_order_of_events(thinker: str, client: openai.OpenAI) -> None:
    events = list(client.responses.create(model=thinker, stream=True, **ASK))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    found = [events[0].type]
    for event in events[1:]:
        if event.type != found[-1]:
            found.append(event.type)

    def an_item(part: str) -> list[str]:
        names = [
            "output_item.added",
            "content_part.added",
            f"{part}.delta",
            f"{part}.done",
            "content_part.done",
            "output_item.done",
        ]
        return [f"response.{name}" for name in names]

    assert found == [
        "response.created",
        "response.in_progress",
        *an_item("reasoning_text"),
        *an_item("output_text"),
        "response.completed",
    ]
    assert [event.output_index for event in events if event.type == "response.output_item.done"] == [0, 1]


class Answer(pydantic.BaseModel):
    kind: Literal["cat", "dog"]


def test_a_schema(hello: str, client: openai.OpenAI) -> None:
    assert client.responses.parse(model=hello, text_format=Answer, **ASK).output_parsed.kind in {"cat", "dog"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].type"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"background": True}, "background"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"reasoning": {"effort": "low"}}, "reasoning_effort"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_refusals(hello: str, client: openai.OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model=hello, **ASK | change)
    assert (error.value.type, error.value.param) == ("invalid_request_error", param)
