"""Checking a request in the shape of Anthropic's Messages API. llama.cpp reads that shape itself."""

from __future__ import annotations

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.messages_answers import MessagesAnswers
from seedstock.run.messages_forced import forced_choice, forced_request
from seedstock.run.request import EngineRequest
from seedstock.run.request_checks import (
    Body,
    Check,
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
    stops,
    text,
    text_or_object,
    tokens,
)

_BLOCKS = {
    "user": {"text", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}
_LABELS = frozenset({"metadata", "service_tier", "cache_control", "betas", "inference_geo"})
_PROMPT: dict[str, Check] = {
    "model": text,
    "messages": instance_of(list, "a list"),
    "system": lambda value: "" if isinstance(value, str | list) else "a string or a list of text blocks",
    "tools": objects,
    "tool_choice": text_or_object,
    "thinking": instance_of(dict, "an object"),
}
_CHECKS: dict[str, Check] = _PROMPT | {
    "max_tokens": tokens,
    "stream": boolean,
    "stop_sequences": stops,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "top_k": integer(0, 1 << 24),
}


def parse_messages_request(data: bytes) -> EngineRequest:
    """Check a request for a message. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    check_parameters(body, _CHECKS, _LABELS)
    if "max_tokens" not in body:
        raise Invalid("'max_tokens' is missing")
    return _request("/v1/messages", model, body)


def parse_count_request(data: bytes) -> EngineRequest:
    """Check a request to count the tokens of a prompt. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    check_parameters(body, _PROMPT, _LABELS)
    return _request("/v1/messages/count_tokens", model, body)


def _request(path: str, model: str, body: Body) -> EngineRequest:
    for index, message in enumerate(listed_messages(body.get("messages"))):
        _check_message(message, f"messages.{index}")
    if isinstance(system := body.get("system"), list):
        _check_blocks(system, "system", {"text"})
    _check_tools(body)
    _check_thinking(body)
    choice = forced_choice(body.get("tool_choice"))
    if choice is not None and path == "/v1/messages":
        return forced_request(model, body, choice)
    forwarded = {name: value for name, value in body.items() if name not in _LABELS}
    return EngineRequest(
        path=path,
        model=model,
        stream=bool(body.get("stream", False)),
        body=msgspec.json.encode(forwarded | {"model": SERVED_MODEL}),
        answers=MessagesAnswers(model),
        needs=needs_of(body),
        generates=path == "/v1/messages",
    )


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict):
        raise Invalid(f"'{where}' must be an object")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _BLOCKS:
        raise Invalid(f"'{where}.role' must be one of {', '.join(_BLOCKS)}")
    if isinstance(content, list):
        _check_blocks(content, f"{where}.content", _BLOCKS[role])
    elif not isinstance(content, str):
        raise Invalid(f"'{where}.content' must be a string or a list of blocks")


def _check_blocks(blocks: list[object], where: str, allowed: set[str]) -> None:
    for index, block in enumerate(blocks):
        at = f"{where}.{index}"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(block, dict) or not isinstance(kind, str) or kind not in allowed:
            # Anything else would make the engine fetch addresses that the caller names, or be ignored by it.
            raise Invalid(f"'{at}.type' must be one of {', '.join(sorted(allowed))}, not {str(kind)[:40]!r}")
        if kind == "text" and not isinstance(block.get("text"), str):
            raise Invalid(f"'{at}.text' must be a string")
        if kind == "thinking" and not isinstance(block.get("thinking"), str):
            raise Invalid(f"'{at}.thinking' must be a string")
        if kind == "tool_use":
            _check_tool_use(block, at)
        if kind == "tool_result":
            _check_tool_result(block, at)


def _check_tool_use(block: Body, at: str) -> None:
    named = isinstance(block.get("id"), str) and isinstance(block.get("name"), str)
    if not named or not isinstance(block.get("input"), dict):
        raise Invalid(f"'{at}' must have an id, a name and an object as input")


def _check_tool_result(block: Body, at: str) -> None:
    if not isinstance(block.get("tool_use_id"), str):
        raise Invalid(f"'{at}.tool_use_id' must be a string")
    content = block.get("content")
    if isinstance(content, list):
        _check_blocks(content, f"{at}.content", {"text"})
    elif content is not None and not isinstance(content, str):
        raise Invalid(f"'{at}.content' must be a string or a list of text blocks")


def _check_tools(body: Body) -> None:
    tools = body.get("tools", [])
    assert isinstance(tools, list)
    for index, tool in enumerate(tools):
        if tool.get("type", "custom") != "custom":
            raise Invalid(f"'tools.{index}.type' must be 'custom': this hub runs no tools itself")
        if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
            raise Invalid(f"'tools.{index}' must have a name and an input_schema")


def _check_thinking(body: Body) -> None:
    thinking = body.get("thinking")
    if not isinstance(thinking, dict):
        return
    kind, budget = thinking.get("type"), thinking.get("budget_tokens")
    if wanted := one_of("enabled", "adaptive", "disabled")(kind):
        raise Invalid(f"'thinking.type' must be {wanted}")
    if budget is not None and integer(0, 1 << 24)(budget):
        raise Invalid("'thinking.budget_tokens' must be a whole number")
