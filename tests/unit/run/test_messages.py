"""Anthropic's order of events, however the engine's stream is cut or breaks off."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.messages_answers import MessagesAnswers
from seedstock.run.messages_request import parse_count_request, parse_messages_request

START = {"type": "message_start", "message": {"id": "chatcmpl-1", "model": SERVED_MODEL, "usage": {}}}
STOP = {"type": "message_stop"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def wire(*events: dict[str, Any]) -> list[bytes]:
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def block(index: int, kind: str) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind}}


def delta(index: int, kind: str, **value: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind} | value}


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


ENGINE = wire(
    START,
    block(0, "thinking"),
    delta(0, "thinking_delta", thinking="\n\nevent: x"),
    block(1, "tool_use"),
    delta(1, "input_json_delta", partial_json="{}"),
    delta(0, "signature_delta", signature=""),
    end(0),
    end(1),
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": "x"}},
    STOP,
)
TYPES = [
    "message_start",
    "content_block_start",
    "ping",
    "content_block_delta",
    "content_block_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
]


def read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(whole.partition(b"data: ")[2]) for whole in data.split(b"\n\n") if whole]


@given(st.sets(st.integers(0, len(ENGINE))))
def test_one_block_at_a_time_however_the_stream_is_cut(cuts: set[int]) -> None:
    events = MessagesAnswers("me/model").events()
    places = [0, *sorted(cuts), len(ENGINE)]
    told = read(b"".join(events.feed(b"".join(ENGINE[start:stop])) for start, stop in pairwise(places)))
    assert [event["type"] for event in told] == TYPES
    assert told[0]["message"]["model"] == "me/model"
    assert [event["index"] for event in told if "index" in event] == [0, 0, 0, 1, 1, 1]
    assert told[-2]["delta"]["stop_reason"] == "stop_sequence"
    assert events.finished


def test_an_error_of_the_engine_ends_the_stream() -> None:
    events = MessagesAnswers("me/model").events()
    (told,) = read(events.feed(b'data: {"error":{"code":500,"message":"decode failed"}}\n\n'))
    assert told == {"type": "error", "error": {"type": "api_error", "message": "decode failed"}}
    assert events.finished


def test_comments_that_keep_the_engines_stream_alive_are_no_events() -> None:
    assert MessagesAnswers("m").events().feed(b":\n\n") == b""


BASE = {"model": "me/model", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def test_what_the_engine_gets() -> None:
    asked = BASE | {"metadata": {"user_id": "x"}, "system": None, "stop_sequences": ["a"], "stream": True}
    request = parse_messages_request(json.dumps(asked).encode())
    assert (request.path, request.model, request.stream) == ("/v1/messages", "me/model", True)
    forwarded = json.loads(request.body)
    assert forwarded == BASE | {"model": SERVED_MODEL, "stop_sequences": ["a"], "stream": True}


@pytest.mark.parametrize(
    "content",
    [
        5,
        [5],
        [{"type": "image", "source": {"type": "url", "url": "http://x"}}],
        [{"type": "tool_use", "id": "1", "name": "f", "input": {}}],
        [{"type": "tool_result"}],
        [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image"}]}],
        [{"type": "text"}],
    ],
)
def test_content_that_the_engine_would_fetch_or_ignore_is_refused(content: object) -> None:
    for parse in (parse_messages_request, parse_count_request):
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        with pytest.raises(Invalid, match=r"messages\.0\.content"):
            parse(json.dumps(body | ({} if parse is parse_count_request else {"max_tokens": 1})).encode())


KINDS = st.fixed_dictionaries({"type": JSON, "name": JSON})


@given(
    st.dictionaries(
        st.sampled_from([*BASE, "system", "tools", "tool_choice", "thinking"]),
        JSON | KINDS | st.lists(KINDS, max_size=2),
    )
)
def test_any_json_is_read_or_refused(body: dict[str, Any]) -> None:
    for parse in (parse_messages_request, parse_count_request):
        with contextlib.suppress(Invalid):
            parse(json.dumps(BASE | body).encode())
