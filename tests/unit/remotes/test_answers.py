"""Answers from one API into the other: whole and streamed, and whatever an upstream may send instead."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import EngineBusy, HubError, Invalid, RemoteBusy, RemoteFailed
from seedstock.run.remote.anthropic_passage import AnthropicPassage
from seedstock.run.remote.chat_to_message import ChatToMessage
from seedstock.run.remote.event_reader import MAX_EVENT_BYTES, EventReader
from seedstock.run.remote.message_to_chat import MessageToChat
from seedstock.run.remote.openai_passage import OpenAiPassage
from seedstock.run.remote.passage import Passage
from tests.factories.upstream import wire

MODEL = "remote/there/m"
MESSAGE: Any = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m-2026",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "let me see"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "a"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 6},
}  # fmt: skip
CHAT: Any = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m-2026",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "let me see",
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city": "a"}'}}
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4}},
}


def whole(passage: Passage, answer: Any) -> Any:
    return json.loads(passage.whole(json.dumps(answer).encode()))


def streamed(passage: Passage, *events: Any) -> list[Any]:
    """What comes of a stream, as data."""
    passing = passage.events()
    told = b"".join(passing.feed(data) for event in events for data in EventReader().feed(wire(event)))
    return read(told + passing.end())


def read(told: bytes) -> list[Any]:
    lines = [line for line in told.decode().split("\n") if line.startswith("data: ")]
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def test_a_message_as_a_chat() -> None:
    told = whole(MessageToChat(MODEL), MESSAGE)
    choice = told["choices"][0]
    assert (told["model"], told["upstream_model"], told["object"]) == (MODEL, "m-2026", "chat.completion")
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "let me see")
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["message"]["thinking_blocks"] == MESSAGE["content"][:2]
    (call,) = choice["message"]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("t1", "f")
    assert json.loads(call["function"]["arguments"]) == {"city": "a"}
    assert told["usage"] == {
        "prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 4},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("of the future", "stop"),
    ],
)
def test_reasons_to_stop(theirs: str, ours: str) -> None:
    assert (
        whole(MessageToChat(MODEL), MESSAGE | {"stop_reason": theirs})["choices"][0]["finish_reason"] == ours
    )
    ended = {"type": "message_delta", "delta": {"stop_reason": theirs}, "usage": {"output_tokens": 1}}
    assert streamed(MessageToChat(MODEL), ended)[0]["choices"][0]["finish_reason"] == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal"),
        (None, "end_turn"), ("of the future", "end_turn"),
    ],
)  # fmt: skip
def test_reasons_to_finish(theirs: str | None, ours: str) -> None:
    choice = CHAT["choices"][0] | {"finish_reason": theirs}
    assert whole(ChatToMessage(MODEL), CHAT | {"choices": [choice]})["stop_reason"] == ours


def test_a_chat_as_a_message() -> None:
    told = whole(ChatToMessage(MODEL), CHAT)
    assert told == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "upstream_model": "m-2026",
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, *MESSAGE["content"][2:3],
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"city": "a"}}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 6},
    }  # fmt: skip


def delta(index: int, **value: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": value}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


THEIRS: list[Any] = [
    {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}},
    begin(0, type="thinking", thinking="", signature=""),
    {"type": "ping"},
    delta(0, type="thinking_delta", thinking="h"),
    delta(0, type="thinking_delta", thinking="m"),
    delta(0, type="signature_delta", signature="sig"),
    end(0),
    begin(1, type="text", text=""),
    delta(1, type="text_delta", text="let "),
    delta(1, type="text_delta", text="me see"),
    end(1),
    begin(2, type="tool_use", id="t1", name="f", input={}),
    delta(2, type="input_json_delta", partial_json=""),
    delta(2, type="input_json_delta", partial_json='{"city":'),
    delta(2, type="input_json_delta", partial_json=' "a"}'),
    end(2),
    begin(3, type="tool_use", id="t2", name="g", input={}),
    end(3),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 6}},
    {"type": "message_stop"},
]  # fmt: skip


def test_a_stream_of_messages_as_chunks() -> None:
    told = streamed(MessageToChat(MODEL, usage_asked=True), *THEIRS)
    assert told[-1] == "[DONE]"
    assert told[-2]["choices"] == []
    assert told[-2]["usage"]["prompt_tokens"] == 3
    assert told[-2]["usage"]["completion_tokens"] == 6
    chunks = told[:-2]
    assert {chunk["model"] for chunk in chunks} == {MODEL}
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-1"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(piece.get("content") or "" for piece in deltas) == "let me see"
    assert "".join(piece.get("reasoning_content") or "" for piece in deltas) == "hm"
    blocks = [block for piece in deltas for block in piece.get("thinking_blocks", [])]
    assert blocks == MESSAGE["content"][:1]
    calls = [call for piece in deltas for call in piece.get("tool_calls", [])]
    assert [(call["index"], call["id"]) for call in calls if "id" in call] == [(0, "t1"), (1, "t2")]
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 0) == '{"city": "a"}'
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"][0]["finish_reason"]] == [
        "tool_calls"
    ]
    assert streamed(MessageToChat(MODEL), *THEIRS)[-2]["choices"], "no usage unless it is asked for"


def chunk(reason: str | None = None, /, **said: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "model": "m-2026",
        "choices": [{"index": 0, "delta": said, "finish_reason": reason}],
    }


def call(index: int | None, identity: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    numbered = {} if index is None else {"index": index}
    return numbered | {"id": identity, "function": {"name": name, "arguments": arguments}}


OURS: list[Any] = [
    chunk(role="assistant", content=""),
    b": keep-alive\n\n",
    chunk(reasoning_content="h"),
    chunk(reasoning_content="m"),
    chunk(content="let "),
    chunk(content="me see"),
    chunk(tool_calls=[call(0, "c1", "f", "")]),
    chunk(tool_calls=[call(0, None, None, '{"city":')]),
    chunk(tool_calls=[call(0, None, None, ' "a"}')]),
    chunk(tool_calls=[call(1, "c2", "g", "{}")]),
    chunk("tool_calls"),
    {"choices": [], "usage": CHAT["usage"]},
    b"data: [DONE]\n\n",
]


def test_a_stream_of_chunks_as_messages() -> None:
    told = [event for event in streamed(ChatToMessage(MODEL), *OURS) if event["type"] != "ping"]
    start, *blocks, last, stop = told
    assert start["message"]["model"] == MODEL
    assert start["message"]["id"] == "msg_1"
    assert stop == {"type": "message_stop"}
    assert last["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert (last["usage"]["input_tokens"], last["usage"]["cache_read_input_tokens"]) == (5, 4)
    assert [(event["type"].removeprefix("content_block_"), event["index"]) for event in blocks] == [
        ("start", 0), ("delta", 0), ("delta", 0), ("stop", 0),
        ("start", 1), ("delta", 1), ("delta", 1), ("stop", 1),
        ("start", 2), ("delta", 2), ("delta", 2), ("stop", 2),
        ("start", 3), ("delta", 3), ("stop", 3),
    ]  # fmt: skip
    assert [b["content_block"]["type"] for b in blocks if b["type"] == "content_block_start"] == [
        "thinking", "text", "tool_use", "tool_use",
    ]  # fmt: skip
    pieces = [event["delta"] for event in blocks if event["type"] == "content_block_delta"]
    assert "".join(piece.get("text", "") for piece in pieces) == "let me see"
    assert "".join(piece.get("partial_json", "") for piece in pieces) == '{"city": "a"}{}'


@pytest.mark.parametrize(
    "calls",
    [
        [call(0, "a", "f", "{}"), call(0, "b", "g", "{}")],  # all are number 0
        [call(None, "a", "f", "{}"), call(None, "b", "g", "{}")],  # none has a number
        [call(0, None, "f", "{}"), call(1, None, "g", "{}")],  # none has a name
        [call(0, "a", "f", "{"), call(0, "a", None, "}"), call(1, "b", "g", "{}")],  # each piece has it
    ],
)
def test_calls_as_servers_number_them(calls: list[Any]) -> None:
    told = streamed(ChatToMessage(MODEL), *(chunk(tool_calls=[one]) for one in calls), chunk("tool_calls"))
    begun = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    assert [block["name"] for block in begun] == ["f", "g"]
    assert len({block["id"] for block in begun}) == 2
    assert told[-1]["type"] == "message_stop", "a server that forgets [DONE]"


def test_a_call_that_is_taken_up_again_is_not_mixed_into_another() -> None:
    pieces = [call(0, "a", "f", "{"), call(1, "b", "g", "{"), call(0, None, None, "}")]
    with pytest.raises(RemoteFailed, match="went back"):
        streamed(ChatToMessage(MODEL), *(chunk(tool_calls=[one]) for one in pieces))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "x"}, EngineBusy),
        ({"type": "rate_limit_error", "message": "org-123"}, RemoteBusy),
        ({"type": "invalid_request_error", "message": "too long"}, Invalid),
        ({"type": "api_error", "message": "stack trace"}, RemoteFailed),
        ({"message": "stack trace", "code": 500}, RemoteFailed),
    ],
)
def test_errors_in_streams(error: Any, kind: type[HubError]) -> None:
    for passage in (MessageToChat(MODEL), AnthropicPassage(MODEL)):
        with pytest.raises(kind) as raised:
            streamed(passage, THEIRS[0], {"type": "error", "error": error})
    for passage in (ChatToMessage(MODEL), OpenAiPassage(MODEL)):
        with pytest.raises(kind) as raised:
            streamed(passage, OURS[0], {"error": error})
    assert "stack trace" not in raised.value.message
    assert "org-123" not in raised.value.message


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'"x"', b"<html>", b'{"choices": 5}', b'{"content": [5]}', b"\xff", b"[" * 9999],
)
@pytest.mark.parametrize("passage", [MessageToChat(MODEL), ChatToMessage(MODEL), OpenAiPassage(MODEL), AnthropicPassage(MODEL)])  # fmt: skip
def test_what_is_no_answer_is_found_out(passage: Passage, data: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError, RemoteFailed)):
        passage.whole(data)


def test_choices_that_were_not_asked_for_are_found_out() -> None:
    for choices in ([], CHAT["choices"] * 2):
        with pytest.raises(RemoteFailed):
            whole(OpenAiPassage(MODEL), CHAT | {"choices": choices})
    for count in (1, 2):
        told = whole(OpenAiPassage(MODEL, choices=2), CHAT | {"choices": CHAT["choices"] * count})
        assert len(told["choices"]) == count


def test_content_in_parts_is_text_and_thoughts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    content = [thought, {"type": "text", "text": "yes"}, {"type": "reference", "reference_ids": [1]}, 5]
    choice = CHAT["choices"][0] | {
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop",
    }
    message = whole(OpenAiPassage(MODEL), CHAT | {"choices": [choice]})["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("yes", "hm")
    told = whole(ChatToMessage(MODEL), CHAT | {"choices": [choice]})["content"]
    assert [block.get("thinking") or block["text"] for block in told] == ["hm", "yes"]
    pieces = [chunk(content=[thought]), chunk(content="yes"), chunk("stop")]
    deltas = [event["choices"][0]["delta"] for event in streamed(OpenAiPassage(MODEL), *pieces)[:-1]]
    assert (deltas[0]["reasoning_content"], deltas[1]["content"]) == ("hm", "yes")
    begun = [
        event for event in streamed(ChatToMessage(MODEL), *pieces) if event["type"] == "content_block_start"
    ]
    assert [event["content_block"]["type"] for event in begun] == ["thinking", "text"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type index delta message content content_block text choices usage error finish_reason tool_calls"
                " function arguments id input_tokens thinking partial_json stop_reason model".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.lists(VALUES | st.sampled_from(THEIRS[:-1] + OURS[:1] + OURS[2:-1]), max_size=6))
def test_no_stream_breaks_the_translation(events: list[Any]) -> None:
    for passage in (
        MessageToChat(MODEL),
        ChatToMessage(MODEL),
        OpenAiPassage(MODEL),
        AnthropicPassage(MODEL),
    ):
        passing, told = passage.events(), b""
        try:
            for one in events:
                told += passing.feed(json.dumps(one).encode())
        except (msgspec.MsgspecError, HubError):
            pass
        told += passing.end()
        assert told == b"" or told.endswith(b"\n\n")
        read(told)


@given(st.data(), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_the_same_however_they_are_cut(data: st.DataObject, newline: bytes) -> None:
    stream = b"".join(wire(event) for event in [*OURS, *THEIRS]).replace(b"\n", newline)
    expected = EventReader().feed(stream)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    reader, found = EventReader(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:stop])
    assert found + reader.end() == expected
    assert len(expected) == len(OURS) + len(THEIRS)


def test_events_have_a_bound() -> None:
    reader = EventReader()
    with pytest.raises(RemoteFailed, match="more than"):
        for _ in range(10):
            reader.feed(b"data: " + b"x" * (MAX_EVENT_BYTES // 8) + b"\n")
