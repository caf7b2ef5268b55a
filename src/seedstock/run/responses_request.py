"""Checking a request in the shape of OpenAI's Responses API, and writing it as a chat for the engine.

llama.cpp has an endpoint of that name too. It refuses the stock client's shortest way to write a turn of the
assistant, and its events lack the numbers by which the client puts them together; so it is not used. Nothing is
stored here: a conversation is sent whole each time.
"""

from __future__ import annotations

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.request import EngineRequest
from seedstock.run.request_checks import (
    Body,
    Check,
    an_object,
    boolean,
    check_parameters,
    decode_body,
    listed_messages,
    number,
    one_of,
    only,
    text,
    tokens,
)
from seedstock.run.responses_answers import ResponsesAnswers

_ROLES = ("user", "assistant", "system", "developer")
_PARTS = {"assistant": ("output_text", "text"), "user": ("input_text", "text")}
_LABELS = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
_CHECKS: dict[str, Check] = {
    "model": text,
    "input": lambda value: "" if value and isinstance(value, str | list) else "a text or a list of items",
    "instructions": text,
    "stream": boolean,
    "stream_options": an_object,
    "max_output_tokens": tokens,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "text": an_object,
    "reasoning": an_object,
    "tools": only([]),
    "tool_choice": one_of("none", "auto"),
    "include": only([]),
    "background": only(allowed=False),
    "truncation": only("disabled"),
}
_ECHOED = (
    "instructions",
    "max_output_tokens",
    "temperature",
    "top_p",
    "text",
    "reasoning",
    "metadata",
    "user",
)


def parse_responses_request(data: bytes) -> EngineRequest:
    """Check a request for a response. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    check_parameters(body, _CHECKS, _LABELS)
    if "input" not in body:
        raise Invalid("'input' is missing")
    chat: Body = {name: body[name] for name in ("stream", "temperature", "top_p") if name in body}
    chat |= {"model": model, "messages": _messages(body)} | _format(body) | _reasoning(body)
    if "max_output_tokens" in body:
        chat["max_tokens"] = body["max_output_tokens"]
    if body.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    request = parse_openai_request(Kind.CHAT, msgspec.json.encode(chat))
    settings = {name: body.get(name) for name in _ECHOED}
    return msgspec.structs.replace(request, answers=ResponsesAnswers(model, settings))


def _messages(body: Body) -> list[Body]:
    messages: list[Body] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    asked = body["input"]
    if isinstance(asked, str):
        return [*messages, {"role": "user", "content": asked}]
    thoughts = ""
    for index, item in enumerate(listed_messages(asked, "input")):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            raise Invalid(f"'{where}' must be an object")
        if item.get("type") == "reasoning":
            thoughts = _text(item.get("content") or [], f"{where}.content", ("reasoning_text",))
            continue
        message = _message(item, where)
        if thoughts and message["role"] == "assistant":
            message["reasoning_content"] = thoughts
        thoughts = ""
        messages.append(message)
    return messages


def _message(item: Body, where: str) -> Body:
    if item.get("type", "message") != "message":
        raise Invalid(f"'{where}.type' must be 'message' or 'reasoning', not {str(item['type'])[:40]!r}")
    role = item.get("role")
    if wanted := one_of(*_ROLES)(role):
        raise Invalid(f"'{where}.role' must be {wanted}")
    parts = _PARTS["assistant" if role == "assistant" else "user"]
    return {"role": role, "content": _text(item.get("content"), f"{where}.content", parts)}


def _text(content: object, where: str, parts: tuple[str, ...]) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Invalid(f"'{where}' must be a string or a list of parts")
    texts = []
    for index, part in enumerate(content):
        fits = isinstance(part, dict) and part.get("type") in parts and isinstance(part.get("text"), str)
        if not fits:
            raise Invalid(f"'{where}[{index}]' must be of type {parts[0]}, with a text")
        texts.append(part["text"])
    return "".join(texts)


def _format(body: Body) -> Body:
    """`text.format`, as chats write it."""
    config = body.get("text", {})
    assert isinstance(config, dict)
    if unknown := set(config) - {"format"}:
        raise Invalid(f"'text.{min(unknown)[:100]}' is not supported")
    wanted = config.get("format")
    if wanted is None:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if complaint := one_of("text", "json_object", "json_schema")(kind):
        raise Invalid(f"'text.format.type' must be {complaint}")
    if kind != "json_schema":
        return {"response_format": {"type": kind}}
    if not isinstance(wanted.get("schema"), dict):
        raise Invalid("'text.format.schema' must be an object")
    return {"response_format": {"type": kind, "json_schema": {"name": "x", "schema": wanted["schema"]}}}


def _reasoning(body: Body) -> Body:
    config = body.get("reasoning", {})
    assert isinstance(config, dict)
    if unknown := {name for name, value in config.items() if value is not None} - {"effort"}:
        raise Invalid(f"'reasoning.{min(unknown)[:100]}' is not supported")
    effort = config.get("effort")
    if effort is not None and not isinstance(effort, str):
        raise Invalid("'reasoning.effort' must be a string")
    return {} if effort is None else {"reasoning_effort": effort}
