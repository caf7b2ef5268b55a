"""Requests from one API into the other: what is said the same way, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import HubError, Invalid
from seedstock.run.apis import Api, parse_request
from seedstock.run.remote.chat_to_messages import DEFAULT_MAX_TOKENS, messages_request
from seedstock.run.remote.messages_to_chat import chat_request
from seedstock.run.remote.translation import translate
from seedstock.run.remote.upstream import ApiKind, Upstream, UpstreamKey

HI: Any = [{"role": "user", "content": "hi"}]
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
PIXEL = "iVBORw0KGgo="


def upstream(kind: ApiKind, url: str = "http://there/v1") -> Upstream:
    return Upstream("there", kind, url, UpstreamKey("k" * 20))


def sent(kind: ApiKind, api: Api, body: dict[str, Any], url: str = "http://there/v1") -> tuple[str, Any]:
    request = parse_request(api, json.dumps({"model": "remote/there/org/m:1"} | body).encode())
    translation = translate(upstream(kind, url), "org/m:1", request)
    return translation.path, json.loads(translation.body)


def test_a_chat_as_a_message() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": [{"type": "text", "text": "and kind"}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city": "a"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "f", "arguments": ""}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "sun"}]},
            {"role": "user", "content": "so?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}},
            {"type": "function", "function": {"name": "g"}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_completion_tokens": 7,
        "stop": "END",
        "temperature": 0.5,
        "user": "u1",
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": True,
        "n": 1,
        "presence_penalty": 0,
        "reasoning_effort": "minimal",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    }  # fmt: skip
    path, told = sent(ApiKind.ANTHROPIC, Api.CHAT, body)
    assert path == "/messages"
    assert told == {
        "model": "org/m:1",
        "system": "be brief\n\nand kind",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"city": "a"}},
                    {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "rain"}],
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "c2",
                        "content": [{"type": "text", "text": "sun"}],
                    },
                    {"type": "text", "text": "so?"},
                ],
            },
        ],
        "tools": [
            {"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True},
            {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "max_tokens": 7,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "metadata": {"user_id": "u1"},
        "stream": True,
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"},
    }


def test_a_limit_is_given_where_a_chat_has_none() -> None:
    assert messages_request({"messages": HI})["max_tokens"] == DEFAULT_MAX_TOKENS
    assert messages_request({"messages": HI, "max_tokens": 3})["max_tokens"] == 3


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_choices_of_tools(asked: Any, told: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert messages_request({"messages": HI, "tools": tools, "tool_choice": asked})["tool_choice"] == told
    theirs: Any = [{"name": "f", "input_schema": {}}]
    back = chat_request({"messages": HI, "max_tokens": 1, "tools": theirs, "tool_choice": told})
    assert back["tool_choice"] == asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "'seed' has no counterpart"),
        ({"n": 2}, "'n' has no counterpart"),
        ({"logprobs": True}, "'logprobs'"),
        ({"grammar": "x"}, "'grammar'"),
        ({"response_format": {"type": "json_object"}}, "'response_format.type'"),
        ({"reasoning_effort": "vast"}, "'reasoning_effort'"),
        ({"tool_choice": "required"}, "'tool_choice' needs 'tools'"),
        ({"tools": [{"type": "custom"}]}, r"'tools\[0\].type'"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, r"'messages\[0\].content\[0\].type'"),
        ({"messages": [{"role": "user", "content": 5}]}, r"'messages\[0\].content' must be a list"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, r"'messages\[0\].role'"),
        ({"messages": ["x"]}, r"'messages\[0\]' must be an object"),
        ({"messages": [{"role": "tool", "content": "x"}]}, r"'messages\[0\].tool_call_id'"),
        ({"stop": 5}, "'stop' must be"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]},
            "must be a web address",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "["}}]}]},
            "arguments' must be the text of a JSON object",
        ),
    ],
)  # fmt: skip
def test_what_a_message_cannot_say_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        sent(ApiKind.ANTHROPIC, Api.CHAT, {"messages": HI} | change)


def test_a_message_as_a_chat() -> None:
    body = {
        "system": [{"type": "text", "text": "be ", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "brief"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "let me see"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]},
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                    {"type": "text", "text": "so"},
                    {"type": "text", "text": "?"},
                ],
            },
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "max_tokens": 7,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_k": 5,
        "stream": True,
        "metadata": {"user_id": "u1"},
        "thinking": {"type": "enabled", "budget_tokens": 6000},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }  # fmt: skip
    path, told = sent(ApiKind.OPENAI, Api.MESSAGE, body)
    assert path == "/chat/completions"
    assert told == {
        "model": "org/m:1",
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": "let me see",
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"city":"a"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "rain"},
            {"role": "tool", "tool_call_id": "t2", "content": ""},
            {"role": "user", "content": "so?"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_tokens": 7,
        "stop": ["END"],
        "temperature": 0.5,
        "top_k": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning_effort": "medium",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
        },
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"container": "c"}, "'container' has no counterpart"),
        ({"tools": [{"type": "web_search_20260101", "name": "w"}]}, "'tools.0.type' must be 'custom'"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, r"'messages.0.content.0.type'"),
        ({"messages": [{"role": "system", "content": "x"}]}, "'messages.0.role'"),
        ({"thinking": {"type": "enabled"}}, "'thinking.budget_tokens'"),
        ({"output_config": {"task_budget": 5}}, "'output_config.task_budget'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}]}]},
            "no place for others here",
        ),
    ],
)  # fmt: skip
def test_what_a_chat_cannot_say_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        sent(ApiKind.OPENAI, Api.MESSAGE, {"messages": HI, "max_tokens": 5} | change)
    with pytest.raises(Invalid, match="'max_tokens' is missing"):
        sent(ApiKind.OPENAI, Api.MESSAGE, {"messages": HI})


def test_what_the_upstream_may_know_passes_in_its_own_api() -> None:
    chat = {"messages": HI, "verbosity": "low", "modalities": ["text", "audio"], "max_tokens": 5}
    assert sent(ApiKind.OPENAI, Api.CHAT, chat) == ("/chat/completions", chat | {"model": "org/m:1"})
    ours = {"messages": HI, "max_tokens": 5, "container": "c", "tools": [{"type": "web_search_20260101"}]}
    assert sent(ApiKind.ANTHROPIC, Api.MESSAGE, ours) == ("/messages", ours | {"model": "org/m:1"})


def test_openais_own_models_get_the_limit_under_its_new_name() -> None:
    chat = {"messages": HI, "max_tokens": 5}
    for url in ("https://api.openai.com/v1", "https://lab.openai.azure.com/openai/v1"):
        told = sent(ApiKind.OPENAI, Api.MESSAGE, chat, url)[1]
        assert (told.get("max_completion_tokens"), told.get("max_tokens")) == (5, None)
    assert sent(ApiKind.OPENAI, Api.CHAT, chat, "https://api.openai.com.example.org/v1")[1]["max_tokens"] == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type text role content tool_calls function name arguments id image_url url source tool_use_id"
                " input thinking_blocks schema format effort budget_tokens".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
WORD = st.sampled_from(["user", "assistant", "tool", "system", "text", "tool_use", "tool_result", "image", "function", "enabled"])  # fmt: skip


@given(
    st.sampled_from([Api.CHAT, Api.MESSAGE, Api.RESPONSE]),
    st.sampled_from(list(ApiKind)),
    st.lists(
        st.fixed_dictionaries({"role": WORD}, optional={"content": JSON, "tool_calls": JSON}), max_size=3
    ),
    st.dictionaries(
        st.sampled_from(
            "tools tool_choice response_format output_config thinking stop system n stream_options user".split()
        ),
        JSON,
        max_size=3,
    ),
)
def test_no_request_breaks_the_translation(api: Api, kind: ApiKind, messages: Any, rest: Any) -> None:
    body = {"messages": messages, "input": messages, "max_tokens": 5} | rest
    body.pop("input" if api is not Api.RESPONSE else "messages")
    try:
        _, told = sent(kind, api, body)
    except HubError:
        return
    assert told["model"] == "org/m:1"
