"""A chat of OpenAI's API as a request for a message of Anthropic's.

What has no counterpart is refused by name, unless it asks for what happens anyway.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.remote.shapes import listed, object_of, text_of
from seedstock.run.request_checks import Body, listed_messages, stops

DEFAULT_MAX_TOKENS = 4096
"""Anthropic's API wants a limit; every model of theirs takes this one."""
_SAME = ("stream", "temperature", "top_p", "top_k", "thinking", "output_config")
_LABELS = frozenset(
    {"metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)
_NEUTRAL: dict[str, object] = {
    "n": 1,
    "logprobs": False,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
}
_TRANSLATED = frozenset(
    "model messages max_tokens max_completion_tokens stop stream_options user tools tool_choice"
    " parallel_tool_calls response_format reasoning_effort".split()
)
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_DATA_URL = re.compile(r"data:(?P<type>image/[a-z+.-]+);base64,(?P<data>[A-Za-z0-9+/=]+)\Z")


def messages_request(body: Body) -> Body:
    """The request, without its model. Raises Invalid."""
    for name, value in body.items():
        known = name in _TRANSLATED or name in _SAME or name in _LABELS
        if not known and not (name in _NEUTRAL and value == _NEUTRAL[name]):
            raise Invalid(f"{name[:100]!r} has no counterpart in Anthropic's API, which this remote speaks")
    system, turns = _conversation(listed_messages(body.get("messages")))
    asked: Body = {name: body[name] for name in _SAME if name in body}
    asked |= {
        "max_tokens": body.get("max_completion_tokens", body.get("max_tokens", DEFAULT_MAX_TOKENS)),
        "messages": turns,
    }
    if system:
        asked["system"] = "\n\n".join(system)
    if "user" in body:
        asked["metadata"] = {"user_id": text_of(body["user"], "user")}
    if "stop" in body:
        if wanted := stops(body["stop"]):
            raise Invalid(f"'stop' must be {wanted}")
        asked["stop_sequences"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    return asked | _tools(body) | _format_and_effort(body)


def _conversation(messages: list[object]) -> tuple[list[str], list[Body]]:
    """The texts of the system, and turns of which no two in a row have one role."""
    system: list[str] = []
    turns: list[Body] = []
    for index, item in enumerate(messages):
        where = f"messages[{index}]"
        message = object_of(item, where)
        role = message.get("role")
        if role in {"system", "developer"}:
            system.append(_plain(message.get("content"), f"{where}.content"))
            continue
        if role not in {"user", "assistant", "tool"}:
            raise Invalid(f"'{where}.role' must be one of assistant, developer, system, tool, user")
        blocks = _BLOCKS[str(role)](message, where)
        turned = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == turned:
            turns[-1]["content"] += blocks  # type: ignore[operator]
        elif blocks:
            turns.append({"role": turned, "content": blocks})
    return [text for text in system if text], turns


def _user_blocks(message: Body, where: str) -> list[Body]:
    return _content_blocks(message.get("content"), f"{where}.content")


def _assistant_blocks(message: Body, where: str) -> list[Body]:
    thoughts = [
        object_of(block, f"{where}.thinking_blocks[{index}]")
        for index, block in enumerate(
            listed(message.get("thinking_blocks") or [], f"{where}.thinking_blocks")
        )
    ]
    said = message.get("content") or message.get("refusal")
    blocks = _content_blocks(said, f"{where}.content") if said else []
    calls = listed(message.get("tool_calls") or [], f"{where}.tool_calls")
    return [*thoughts, *blocks, *(_call(call, f"{where}.tool_calls[{n}]") for n, call in enumerate(calls))]


def _call(value: object, where: str) -> Body:
    call = object_of(value, where)
    function = object_of(call.get("function"), f"{where}.function")
    try:
        arguments = msgspec.json.decode(str(function.get("arguments") or "{}"), type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Invalid(f"'{where}.function.arguments' must be the text of a JSON object") from None
    return {
        "type": "tool_use",
        "id": text_of(call.get("id"), f"{where}.id"),
        "name": text_of(function.get("name"), f"{where}.function.name"),
        "input": arguments,
    }


def _tool_blocks(message: Body, where: str) -> list[Body]:
    identity = text_of(message.get("tool_call_id"), f"{where}.tool_call_id")
    content = _content_blocks(message.get("content"), f"{where}.content")
    return [{"type": "tool_result", "tool_use_id": identity, "content": content}]


_BLOCKS = {"user": _user_blocks, "assistant": _assistant_blocks, "tool": _tool_blocks}


def _content_blocks(content: object, where: str) -> list[Body]:
    """Blocks of a text or of parts; empty texts, which Anthropic refuses, are left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks = [_part(part, f"{where}[{index}]") for index, part in enumerate(listed(content, where))]
    return [block for block in blocks if block.get("text") != ""]


def _part(value: object, where: str) -> Body:
    part = object_of(value, where)
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": text_of(part.get("text"), f"{where}.text")}
    if kind == "refusal":
        return {"type": "text", "text": text_of(part.get("refusal"), f"{where}.refusal")}
    if kind == "image_url":
        image = object_of(part.get("image_url"), f"{where}.image_url")
        return {
            "type": "image",
            "source": _source(text_of(image.get("url"), f"{where}.image_url.url"), where),
        }
    raise Invalid(f"'{where}.type' must be text or image_url, not {str(kind)[:40]!r}")


def _source(url: str, where: str) -> Body:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    if (match := _DATA_URL.match(url)) is None:
        raise Invalid(f"'{where}.image_url.url' must be a web address, or a data: URL of an image in base64")
    return {"type": "base64", "media_type": match["type"], "data": match["data"]}


def _plain(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    parts = [object_of(part, f"{where}[{index}]") for index, part in enumerate(listed(content, where))]
    return "".join(text_of(part.get("text"), f"{where}[{index}].text") for index, part in enumerate(parts))


def _tools(body: Body) -> Body:
    tools = listed(body.get("tools") or [], "tools")
    if not tools:
        if body.get("tool_choice") not in {None, "auto", "none"}:
            raise Invalid("'tool_choice' needs 'tools'")
        return {}
    asked: Body = {"tools": [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]}
    choice = _choice(body.get("tool_choice"))
    if body.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return asked | ({"tool_choice": choice} if choice else {})


def _tool(value: object, where: str) -> Body:
    tool = object_of(value, where)
    if tool.get("type") != "function":
        raise Invalid(f"'{where}.type' must be 'function'")
    function = object_of(tool.get("function"), f"{where}.function")
    told: Body = {
        "name": text_of(function.get("name"), f"{where}.function.name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description"):
        told["description"] = function["description"]
    return told | ({"strict": True} if function.get("strict") is True else {})


def _choice(choice: object) -> dict[str, Any] | None:
    named = {"auto": "auto", "none": "none", "required": "any"}
    if choice is None:
        return None
    if isinstance(choice, str) and choice in named:
        return {"type": named[choice]}
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"type": "tool", "name": function["name"]}
    raise Invalid("'tool_choice' must be 'none', 'auto', 'required' or name a function")


def _format_and_effort(body: Body) -> Body:
    """`response_format` and `reasoning_effort`, beside what the caller wrote in Anthropic's words."""
    config: Body = dict(object_of(body.get("output_config", {}), "output_config"))
    wanted = object_of(body.get("response_format", {"type": "text"}), "response_format")
    if wanted.get("type") == "json_schema":
        schema = object_of(wanted.get("json_schema"), "response_format.json_schema").get("schema")
        config["format"] = {
            "type": "json_schema",
            "schema": object_of(schema, "response_format.json_schema.schema"),
        }
    elif wanted.get("type") != "text":
        raise Invalid("'response_format.type' must be text or json_schema: Anthropic's API has no other")
    effort = body.get("reasoning_effort")
    if effort == "none":
        return {"thinking": {"type": "disabled"}} | ({"output_config": config} if config else {})
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            raise Invalid(f"'reasoning_effort' must be one of none, {', '.join(_EFFORTS)}")
        config["effort"] = _EFFORTS[effort]
    return {"output_config": config} if config else {}
