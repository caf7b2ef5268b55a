"""Requests in vLLM's words, and its answers read back; the answers are those that vLLM 0.32 gave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import Ability, Dialect, Endpoint
from seedstock.run.messages_by_chat import as_chat
from seedstock.run.messages_request import parse_messages_request
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.request import EngineRequest
from seedstock.run.responses_request import parse_responses_request
from seedstock.run.tally import Tally, measured
from seedstock.run.text_requests import (
    parse_detokenize_request,
    parse_embedding_request,
    parse_tokenize_request,
)
from seedstock.run.vllm_dialect import as_vllm

ENDPOINT = Endpoint(
    "http://127.0.0.1:1", "k", 32, 512, (Ability.GENERATION,), speaks_messages=False, dialect=Dialect.VLLM
)
ASKED = [{"role": "user", "content": "hi"}]
COMPLETION = b'{"id":"cmpl-1","object":"text_completion","created":1,"model":"seedstock-engine","choices":[{"index":0,"text":"a","logprobs":{"text_offset":[0],"token_logprobs":[-2.5],"tokens":["a"],"top_logprobs":[{"a":-2.5}]},"finish_reason":"length"}],"usage":{"prompt_tokens":2,"total_tokens":3,"completion_tokens":1}}'
CHUNKS = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"seedstock-engine-1","choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":"length"}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"seedstock-engine-1","choices":[],"usage":{"prompt_tokens":20,"total_tokens":23,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":16}}}\n\n'
    b"data: [DONE]\n\n"
)


def asked(kind: Kind, **body: Any) -> EngineRequest:
    return parse_openai_request(kind, msgspec.json.encode({"model": "ada/tiny"} | body))


def told(request: EngineRequest) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(request.body)
    return body


def test_parameters_take_vllm_s_names_and_what_says_nothing_is_left_out() -> None:
    request = asked(
        Kind.COMPLETION, prompt="a", repeat_penalty=1.1, cache_prompt=True, best_of=1, echo=False, suffix="",
        max_tokens=100_000, grammar='root ::= "a"', min_p=0.1, seed=3,
    )  # fmt: skip
    assert told(as_vllm(request, ENDPOINT)) == {
        "model": "seedstock-engine",
        "prompt": "a",
        "repetition_penalty": 1.1,
        "max_tokens": 512,
        "structured_outputs": {"grammar": 'root ::= "a"'},
        "min_p": 0.1,
        "seed": 3,
    }


def test_a_turn_that_the_assistant_began_is_continued() -> None:
    turns = [*ASKED, {"role": "assistant", "content": "Well,"}]
    body = told(as_vllm(asked(Kind.CHAT, messages=turns, max_completion_tokens=4), ENDPOINT))
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["max_tokens"] == 4
    assert "continue_final_message" not in told(as_vllm(asked(Kind.CHAT, messages=ASKED), ENDPOINT))
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    body = told(as_vllm(asked(Kind.CHAT, messages=ASKED, response_format=form), ENDPOINT))
    assert body["response_format"]["json_schema"]["name"] == "answer"


@pytest.mark.parametrize(
    "more", [{"typical_p": 0.5}, {"reasoning_effort": "low"}, {"reasoning_format": "deepseek"}]
)
def test_what_it_has_no_word_for_is_refused_by_name(more: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=f"'{next(iter(more))}'"):
        as_vllm(asked(Kind.CHAT, messages=ASKED, **more), ENDPOINT)


TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALLED = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"seedstock-engine","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"seedstock-engine","choices":[{"index":0,"delta":{"content":"{\\"name\\":\\"f\\","},"logprobs":null,"finish_reason":null}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"seedstock-engine","choices":[{"index":0,"delta":{"content":"\\"arguments\\":{}}"},"logprobs":null,"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


def test_a_forced_call_is_an_answer_of_its_schema_with_the_tools_in_the_prompt() -> None:
    request = as_vllm(
        asked(Kind.CHAT, messages=ASKED, tools=[TOOL], tool_choice="required", stream=True), ENDPOINT
    )
    body = told(request)
    assert (body["tools"], body["tool_choice"]) == ([TOOL], "none")
    assert body["response_format"]["json_schema"]["schema"]["anyOf"][0]["properties"]["name"] == {
        "const": "f"
    }
    events = request.answers.events()
    said = [msgspec.json.decode(one[6:]) for one in events.feed(CALLED).split(b"\n\n") if one[6:7] == b"{"]
    (call,) = said[-1]["choices"][0]["delta"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": "{}"}
    assert said[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert not any(one["choices"][0]["delta"].get("content") for one in said)


def test_tools_that_the_model_may_choose_are_refused_and_those_it_may_not_use_left_out() -> None:
    with pytest.raises(Invalid, match="'tool_choice' must be 'required'"):
        as_vllm(asked(Kind.CHAT, messages=ASKED, tools=[TOOL]), ENDPOINT)
    body = told(as_vllm(asked(Kind.CHAT, messages=ASKED, tools=[TOOL], tool_choice="none"), ENDPOINT))
    assert not {"tools", "tool_choice"} & body.keys()
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    body = told(as_vllm(asked(Kind.CHAT, messages=ASKED, tools=[TOOL], response_format=form), ENDPOINT))
    assert (body["tools"], body["tool_choice"]) == ([TOOL], "none")


def test_embeddings_and_other_paths_are_refused() -> None:
    request = parse_embedding_request(b'{"model":"ada/tiny","input":"a"}')
    with pytest.raises(Invalid, match="vLLM"):
        as_vllm(request, ENDPOINT)


def test_old_log_probabilities_pass_as_they_are() -> None:
    request = as_vllm(asked(Kind.COMPLETION, prompt="a", logprobs=1), ENDPOINT)
    answer = msgspec.json.decode(request.answers.whole(COMPLETION))
    assert answer["model"] == "ada/tiny"
    assert answer["choices"][0]["logprobs"]["token_logprobs"] == [-2.5]


def test_an_adapter_is_asked_by_its_name_and_answers_under_the_caller_s() -> None:
    adapter = msgspec.structs.replace(ENDPOINT, adapters=2, adapter=1)
    request = as_vllm(asked(Kind.CHAT, messages=ASKED, stream=True), adapter)
    assert told(request)["model"] == "seedstock-engine-1"
    events = request.answers.events()
    said = events.feed(CHUNKS)
    assert events.finished
    assert said.count(b'"model":"ada/tiny"') == 2
    assert b"seedstock-engine" not in said
    none = as_vllm(asked(Kind.CHAT, messages=ASKED), msgspec.structs.replace(ENDPOINT, adapters=2))
    assert told(none)["model"] == "seedstock-engine"


@pytest.mark.parametrize("wanted", [False, True])
def test_a_stream_is_counted_whether_or_not_the_caller_asks_for_usage(wanted: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    request = asked(Kind.CHAT, messages=ASKED, stream=True, **options)
    tally = Tally(request)
    request = as_vllm(measured(request, tally), ENDPOINT)
    assert told(request)["stream_options"] == {"include_usage": True}
    said = request.answers.events().feed(CHUNKS.replace(b"engine-1", b"engine"))
    assert (b'"usage"' in said) is wanted
    assert b"prompt_progress" not in said
    assert said.endswith(b"data: [DONE]\n\n")
    assert (tally.prompt_tokens, tally.cached_tokens, tally.completion_tokens) == (20, 16, 3)


def test_messages_and_responses_come_as_chats() -> None:
    message = parse_messages_request(
        msgspec.json.encode({"model": "ada/tiny", "messages": ASKED, "max_tokens": 9})
    )
    assert told(as_vllm(as_chat(message), ENDPOINT))["messages"] == ASKED
    response = parse_responses_request(b'{"model":"ada/tiny","input":"hi"}')
    assert told(as_vllm(response, ENDPOINT))["messages"] == ASKED


def test_tokens_are_told_in_its_words() -> None:
    data = msgspec.json.encode({"model": "ada/tiny", "prompt": "hi", "return_token_strs": True})
    request = as_vllm(parse_tokenize_request(data), ENDPOINT)
    assert told(request) == {
        "model": "seedstock-engine", "prompt": "hi", "add_special_tokens": True, "return_token_strs": True
    }  # fmt: skip
    answer = b'{"count":2,"max_model_len":512,"tokens":[104,105],"token_strs":["h","i"]}'
    assert msgspec.json.decode(request.answers.whole(answer)) == {
        "count": 2, "tokens": [104, 105], "token_strs": ["h", "i"]
    }  # fmt: skip
    request = as_vllm(parse_detokenize_request(b'{"model":"ada/tiny","tokens":[104]}'), ENDPOINT)
    assert told(request) == {"model": "seedstock-engine", "tokens": [104]}
    assert request.answers.whole(b'{"prompt":"h"}') == b'{"prompt":"h"}'
