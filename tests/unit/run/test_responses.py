from __future__ import annotations

import contextlib
import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import EngineFailed, Invalid
from seedstock.run.responses_answers import ResponsesAnswers
from seedstock.run.responses_request import parse_responses_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "text", "format"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["input", "instructions", "text", "reasoning", "tools", "model"]), JSON)
)
def test_any_json_is_read_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(Invalid):
        parse_responses_request(json.dumps({"model": "m"} | body).encode())


def read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(whole.partition(b"data: ")[2]) for whole in data.split(b"\n\n") if whole]


def test_an_error_in_the_middle_ends_the_stream_with_one_that_the_client_raises() -> None:
    events = ResponsesAnswers("m", {}).events()
    events.feed(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
    (told,) = read(events.feed(b'data: {"error":{"message":"decode failed"}}\n\n'))
    assert (told["type"], told["message"]) == ("error", "decode failed")
    assert told["error"]["message"] == "decode failed"
    assert events.finished


def test_comments_pass_and_an_empty_answer_has_no_items() -> None:
    events = ResponsesAnswers("m", {}).events()
    assert events.feed(b":\n\n") == b":\n\n"
    assert not events.finished
    created, _, last = read(
        events.feed(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    )
    assert created["type"] == "response.created"
    assert (last["type"], last["response"]["output"]) == ("response.completed", [])


def test_the_stock_client_raises_the_error_event() -> None:
    import httpx2

    error = ResponsesAnswers("m", {}).error_event(EngineFailed("gone"))
    answer = httpx2.Response(200, content=error, headers={"content-type": "text/event-stream"})
    transport = httpx2.MockTransport(lambda _: answer)
    with (
        openai.OpenAI(
            api_key="x", base_url="http://hub", http_client=httpx2.Client(transport=transport)
        ) as client,
        pytest.raises(openai.APIError, match="gone"),
    ):
        list(client.responses.create(model="m", input="x", stream=True))
