from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import HubError, Invalid, TooLarge
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.request_checks import MAX_BODY_BYTES

MESSAGES = [{"role": "user", "content": "hi"}]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "messages",
        "prompt",
        "max_tokens",
        "temperature",
        "n",
        "stop",
        "stream",
        "tools",
        "logprobs",
        "user",
        "echo",
    ]
)


def parse(kind: Kind = Kind.CHAT, **body: Any) -> dict[str, Any]:
    needed = {"messages": MESSAGES} if kind is Kind.CHAT else {"prompt": "hi"}
    request = parse_openai_request(kind, json.dumps({"model": "me/model"} | needed | body).encode())
    assert request.model == "me/model"
    forwarded: dict[str, Any] = json.loads(request.body)
    assert forwarded.pop("model") == SERVED_MODEL
    return forwarded


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0, "top_p": 0.5, "seed": 7, "n": 2, "stop": ["a"], "max_tokens": 5},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"logprobs": True, "top_logprobs": 3},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    ],
)
def test_supported_parameters_reach_the_engine_unchanged(parameters: dict[str, Any]) -> None:
    assert parse(**parameters) == {"messages": MESSAGES} | parameters


def test_labels_and_nulls_are_left_out_and_synonyms_are_translated() -> None:
    forwarded = parse(
        user="me", stop=None, max_completion_tokens=3, messages=[{"role": "developer", "content": "be brief"}]
    )
    assert forwarded == {"messages": [{"role": "system", "content": "be brief"}], "max_tokens": 3}


@pytest.mark.parametrize("prompt", ["hi", ["hi", "ho"], [1, 2, 3]])
def test_completions_take_text_texts_and_tokens(prompt: object) -> None:
    assert parse(Kind.COMPLETION, prompt=prompt, echo=False, best_of=1)["prompt"] == prompt


@pytest.mark.parametrize(
    ("kind", "parameters", "named"),
    [
        (Kind.CHAT, {"messages": []}, "messages"),
        (Kind.CHAT, {"messages": "hi"}, "messages"),
        (Kind.CHAT, {"messages": ["hi"]}, r"messages\[0\]"),
        (Kind.CHAT, {"messages": [{"role": "alien", "content": "hi"}]}, r"messages\[0\].role"),
        (Kind.CHAT, {"messages": [{"role": ["user"], "content": "hi"}]}, r"messages\[0\].role"),
        (Kind.CHAT, {"messages": [{"role": "user"}]}, r"messages\[0\].content"),
        (Kind.CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "data: URLs"),
        (Kind.CHAT, {"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, "text parts"),
        (Kind.CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "text parts"),
        (Kind.CHAT, {"messages": [{"role": "assistant", "tool_calls": [{"id": 3}]}]}, "tool_calls"),
        (Kind.CHAT, {"max_tokens": 0}, "max_tokens"),
        (Kind.CHAT, {"max_tokens": True}, "max_tokens"),
        (Kind.CHAT, {"max_tokens": "5"}, "max_tokens"),
        (Kind.CHAT, {"temperature": 3}, "temperature"),
        (Kind.CHAT, {"n": 0}, "'n'"),
        (Kind.CHAT, {"n": 17}, "'n'"),
        (Kind.CHAT, {"stop": [""]}, "stop"),
        (Kind.CHAT, {"stop": 5}, "stop"),
        (Kind.CHAT, {"stream": 1}, "stream"),
        (Kind.CHAT, {"lora": [{"id": 0}]}, "lora"),
        (Kind.COMPLETION, {"prompt": ""}, "prompt"),
        (Kind.COMPLETION, {"prompt": ["a", 1]}, "prompt"),
        (Kind.COMPLETION, {"prompt": ["a"] * 65}, "prompt"),
        (Kind.COMPLETION, {"echo": True}, "echo"),
        (Kind.COMPLETION, {"suffix": "end"}, "suffix"),
        (Kind.CHAT, {"model": ""}, "model"),
    ],
)
def test_what_the_engine_would_ignore_or_choke_on_is_refused_by_name(
    kind: Kind, parameters: dict[str, Any], named: str
) -> None:
    with pytest.raises(Invalid, match=named):
        parse(kind, **parameters)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 50_000])
def test_a_body_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="not a JSON object"):
        parse_openai_request(Kind.CHAT, data)


def test_a_huge_body_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        parse_openai_request(Kind.CHAT, b"x" * (MAX_BODY_BYTES + 1))


@given(st.sampled_from(Kind), st.dictionaries(NAMES, JSON, max_size=4))
def test_any_body_is_accepted_or_refused_but_never_breaks_the_check(kind: Kind, body: dict[str, Any]) -> None:
    try:
        request = parse_openai_request(kind, json.dumps({"model": "m"} | body).encode())
    except HubError:
        return
    assert json.loads(request.body)["model"] == SERVED_MODEL
