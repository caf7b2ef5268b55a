"""Checking an OpenAI request body before it reaches native code, and writing the one that the engine gets."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.legacy_logprobs import LegacyLogprobAnswers
from seedstock.run.openai_answers import OpenAiAnswers
from seedstock.run.request import Answers, EngineRequest
from seedstock.run.request_checks import (
    Body,
    Check,
    an_object,
    boolean,
    check_parameters,
    decode_body,
    instance_of,
    integer,
    listed_messages,
    needs_of,
    number,
    objects,
    one_of,
    only,
    stops,
    text,
    text_or_object,
    tokens,
)
from seedstock.run.tool_choice import ForcedCallAnswers, call_schema, checked_tools, forced_names

MAX_CHOICES = 16
MAX_PROMPTS = 64
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class Kind(StrEnum):
    """The two generating operations; the value is the path below `/v1/`."""

    CHAT = "chat/completions"
    COMPLETION = "completions"


def parse_openai_request(kind: Kind, data: bytes) -> EngineRequest:
    """Check the body of a request. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    check_parameters(body, _CHECKS[kind], _LABELS)
    if kind is Kind.CHAT:
        body["messages"] = [
            _checked_message(message, f"messages[{index}]")
            for index, message in enumerate(listed_messages(body.get("messages")))
        ]
    else:
        _check_prompt(body.get("prompt"))
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    answers = _answers(kind, model, body)
    forwarded = {name: value for name, value in body.items() if name not in _LABELS} | {"model": SERVED_MODEL}
    return EngineRequest(
        path=f"/v1/{kind.value}",
        model=model,
        stream=bool(body.get("stream", False)),
        body=msgspec.json.encode(forwarded),
        answers=answers,
        needs=needs_of(body),
    )


def _answers(kind: Kind, model: str, body: Body) -> Answers:
    """How answers are read; a forced call of a tool is rewritten in `body` as a format of the answer."""
    if kind is Kind.COMPLETION:
        return LegacyLogprobAnswers(model) if body.get("logprobs") else OpenAiAnswers(model)
    _check_format(body.get("response_format"))
    tools = body.get("tools") or []
    assert isinstance(tools, list)
    schemas = checked_tools(tools)
    names = forced_names(body.get("tool_choice"), schemas)
    if tools and "grammar" in body:
        raise Invalid("'grammar' cannot be used together with 'tools'")
    if not names:
        return OpenAiAnswers(model)
    if "response_format" in body:
        raise Invalid("'response_format' cannot be used together with a forced 'tool_choice'")
    del body["tool_choice"]
    schema = call_schema(names, schemas)
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
    return ForcedCallAnswers(model)


def _check_format(wanted: object) -> None:
    if not isinstance(wanted, dict):
        return
    kind, named = wanted.get("type"), wanted.get("json_schema")
    if wanted_kind := one_of("text", "json_object", "json_schema")(kind):
        raise Invalid(f"'response_format.type' must be {wanted_kind}")
    if kind == "json_schema" and not (isinstance(named, dict) and isinstance(named.get("schema"), dict)):
        raise Invalid("'response_format.json_schema.schema' must be an object")


def _checked_message(message: object, where: str) -> Body:
    if not isinstance(message, dict):
        raise Invalid(f"'{where}' must be an object")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise Invalid(f"'{where}.role' must be one of {', '.join(sorted(_ROLES))}")
    if content is None and role != "assistant":
        raise Invalid(f"'{where}.content' is missing")
    if isinstance(content, list):
        for part in content:
            _check_part(part, where, images=role == "user")
    elif content is not None and not isinstance(content, str):
        raise Invalid(f"'{where}.content' must be a string or a list of text parts")
    calls = message.get("tool_calls")
    if calls is not None and (objects(calls) or any(call.get("type") != "function" for call in calls)):
        raise Invalid(f"'{where}.tool_calls' must be a list of calls of type 'function'")
    return message | {"role": "system"} if role == "developer" else message  # templates know only `system`


def _check_part(part: object, where: str, *, images: bool) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind == "text" and isinstance(part.get("text"), str):
        return
    if not isinstance(part, dict) or not images or kind != "image_url":
        raise Invalid(f"'{where}.content' may hold text parts, and images of the user, only")
    named = part.get("image_url")
    url = named.get("url") if isinstance(named, dict) else None
    if not isinstance(url, str) or not url.startswith("data:"):
        # An address would have the hub fetch what the caller names.
        raise Invalid(f"'{where}.content' must hold its images themselves, as data: URLs: none is fetched")


def _check_prompt(prompt: object) -> None:
    if isinstance(prompt, str) and prompt:
        return
    if not isinstance(prompt, list) or not prompt:
        raise Invalid("'prompt' must be a non-empty string, a list of strings, or a list of token ids")
    strings = all(isinstance(item, str) and item for item in prompt)
    tokens = all(type(item) is int and item >= 0 for item in prompt)
    if not (strings or tokens) or (strings and len(prompt) > MAX_PROMPTS):
        raise Invalid(f"'prompt' must hold at most {MAX_PROMPTS} non-empty strings, or token ids")


_LABELS = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
_COMMON: dict[str, Check] = {
    "model": text,
    "stream": boolean,
    "stream_options": an_object,
    "max_tokens": tokens,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "n": integer(1, MAX_CHOICES),
    "stop": stops,
    "seed": integer(-(1 << 63), (1 << 63) - 1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "logit_bias": an_object,
    # llama.cpp's own, as other servers spell them too
    "top_k": integer(-1, 1 << 24),
    "min_p": number(0, 1),
    "typical_p": number(0, 1),
    "repeat_penalty": number(0, 10),
    "grammar": text,
    "ignore_eos": boolean,
    "cache_prompt": boolean,
}
_CHECKS: dict[Kind, dict[str, Check]] = {
    Kind.CHAT: _COMMON
    | {
        "messages": instance_of(list, "a list"),
        "max_completion_tokens": tokens,
        "logprobs": boolean,
        "top_logprobs": integer(0, 20),
        "response_format": an_object,
        "tools": objects,
        "tool_choice": text_or_object,
        "parallel_tool_calls": boolean,
        "modalities": only(["text"]),
        "reasoning_effort": text,
        "reasoning_format": one_of("none", "auto", "deepseek"),
        "chat_template_kwargs": an_object,
    },
    Kind.COMPLETION: _COMMON
    | {
        "prompt": lambda _: "",
        "logprobs": integer(0, 20),
        "echo": only(allowed=False),
        "best_of": only(allowed=1),
        "suffix": only(allowed=""),
    },
}
