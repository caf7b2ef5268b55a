from __future__ import annotations

import json
from typing import Any

import pytest

from seedstock.core.errors import Invalid
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.tool_choice import ForcedCallAnswers


def request(**change: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | change
    return parse_openai_request(Kind.CHAT, json.dumps(body).encode())


def function(name: str, **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def test_a_forced_call_becomes_a_format_and_its_definitions_move_to_the_root() -> None:
    tools = [function("f", **{"$defs": {"a": {"type": "null"}}, "$ref": "#/$defs/a"}), function("g")]
    body = json.loads(request(tools=tools, tool_choice="required").body)
    assert "tool_choice" not in body
    assert body["tools"] == tools
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["$defs"] == {"a": {"type": "null"}}
    calls = [one["properties"] for one in schema["anyOf"]]
    assert calls == [
        {"name": {"const": "f"}, "arguments": {"$ref": "#/$defs/a"}},
        {"name": {"const": "g"}, "arguments": {"type": "object"}},
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {
                "tools": [
                    function("f", **{"$defs": {"a": {"type": "null"}}}),
                    function("g", **{"$defs": {"a": {}}}),
                ],
                "tool_choice": "required",
            },
            "two ways",
        ),
        ({"tools": [function("f", **{"$defs": 5})], "tool_choice": "required"}, "must be an object"),
        ({"tools": [function("f")], "grammar": "root ::= x"}, "grammar"),
        ({"tools": [function("f")], "tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": {"type": []}}, "response_format"),
        ({"tools": [function("f")], "tool_choice": {"type": "function", "function": {"name": []}}}, "among"),
        (
            {
                "tools": [function("f")],
                "tool_choice": "required",
                "response_format": {"type": "json_object"},
            },
            "response_format",
        ),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        request(**change)


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    data = {"choices": [{"finish_reason": finish, "index": 0, "delta": delta}]}
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def told(*chunks: bytes) -> list[dict[str, Any]]:
    events = ForcedCallAnswers("m").events()
    text = b"".join(events.feed(one) for one in chunks).decode()
    return [json.loads(line[6:])["choices"][0] for line in text.split("\n\n") if line]


def test_a_streamed_call_comes_in_one_piece_with_its_arguments_as_they_were_written() -> None:
    first, last = told(
        chunk(role="assistant", content=None),
        chunk(content='{"name":"f","arg'),
        chunk(content='uments": {"x" : 1.0}}'),
        chunk("stop"),
    )
    assert first["delta"] == {"role": "assistant"}
    (call,) = last["delta"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"x" : 1.0}'}
    assert last["finish_reason"] == "tool_calls"


def test_a_call_that_was_cut_short_is_handed_on_as_text() -> None:
    (last,) = told(chunk(content='{"name":"f","arg'), chunk("length"))
    assert last == {"finish_reason": "length", "index": 0, "delta": {"content": '{"name":"f","arg'}}
    answer = {"choices": [{"finish_reason": "length", "message": {"content": '{"name"'}}]}
    assert json.loads(ForcedCallAnswers("m").whole(json.dumps(answer).encode())) == answer
