"""A request for a message of Anthropic's API as a chat of OpenAI's.

What has no counterpart is refused by name. Thoughts of earlier turns are left out, as OpenAI's API has no place for
them; that a tool's result is an error is left to its text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.remote.shapes import listed, object_of, text_of
from seedstock.run.request_checks import Body, listed_messages

_SAME = ("stream", "temperature", "top_p", "top_k", "max_tokens")
_LABELS = frozenset({"metadata", "service_tier", "cache_control", "betas", "inference_geo"})
_TRANSLATED = frozenset(
    "model messages system tools tool_choice stop_sequences thinking output_config".split()
)
_EFFORT_BUDGETS = ((10_000, "high"), (5_000, "medium"), (0, "low"))


def chat_request(body: Body) -> Body:
    """The chat, without its model. Raises Invalid."""
    for name in body:
        if name not in _SAME and name not in _TRANSLATED and name not in _LABELS:
            raise Invalid(
                f"{name[:100]!r} has no counterpart in OpenAI's API, which is what this model is asked in"
            )
    if "max_tokens" not in body:
        raise Invalid("'max_tokens' is missing")
    messages: list[Body] = []
    if system := body.get("system"):
        messages.append({"role": "system", "content": _plain(system, "system")})
    for index, item in enumerate(listed_messages(body.get("messages"))):
        messages += _turns(object_of(item, f"messages.{index}"), f"messages.{index}")
    chat: Body = {name: body[name] for name in _SAME if name in body} | {"messages": messages}
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    return chat | _tools(body) | _output(body)


def _turns(message: Body, where: str) -> list[Body]:
    """A message as those of a chat, in which each result of a tool is a message of its own."""
    role, content = message.get("role"), message.get("content")
    if role not in {"user", "assistant"}:
        raise Invalid(f"'{where}.role' must be one of user, assistant")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = [
        (object_of(block, f"{where}.content.{index}"), f"{where}.content.{index}")
        for index, block in enumerate(listed(content, f"{where}.content"))
    ]
    return _user_turns(blocks) if role == "user" else _assistant_turns(blocks)


def _user_turns(blocks: list[tuple[Body, str]]) -> list[Body]:
    results: list[Body] = []
    parts: list[Body] = []
    for block, where in blocks:
        if block.get("type") == "tool_result":
            results.append(_result(block, where))
        else:
            parts.append(_part(block, where))
    if not parts:
        return results
    texts = [part["text"] for part in parts if part["type"] == "text"]
    content: object = "".join(map(str, texts)) if len(texts) == len(parts) else parts
    return [*results, {"role": "user", "content": content}]


def _result(block: Body, where: str) -> Body:
    identity = text_of(block.get("tool_use_id"), f"{where}.tool_use_id")
    return {
        "role": "tool",
        "tool_call_id": identity,
        "content": _plain(block.get("content") or "", f"{where}.content"),
    }


def _part(block: Body, where: str) -> Body:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": text_of(block.get("text"), f"{where}.text")}
    if kind != "image":
        raise Invalid(f"'{where}.type' must be one of text, image, tool_result, not {str(kind)[:40]!r}")
    source = object_of(block.get("source"), f"{where}.source")
    if source.get("type") == "url":
        url = text_of(source.get("url"), f"{where}.source.url")
    elif source.get("type") == "base64":
        data = text_of(source.get("data"), f"{where}.source.data")
        url = f"data:{text_of(source.get('media_type'), f'{where}.source.media_type')};base64,{data}"
    else:
        raise Invalid(f"'{where}.source.type' must be url or base64")
    return {"type": "image_url", "image_url": {"url": url}}


def _assistant_turns(blocks: list[tuple[Body, str]]) -> list[Body]:
    said, calls = "", []
    for block, where in blocks:
        kind = block.get("type")
        if kind == "text":
            said += text_of(block.get("text"), f"{where}.text")
        elif kind == "tool_use":
            calls.append(_call(block, where))
        elif kind not in {"thinking", "redacted_thinking"}:
            raise Invalid(f"'{where}.type' must be one of text, thinking, tool_use, not {str(kind)[:40]!r}")
    turn: Body = {"role": "assistant", "content": said or None}
    if calls:
        turn["tool_calls"] = calls
    return [turn] if said or calls else []


def _call(block: Body, where: str) -> Body:
    arguments = msgspec.json.encode(object_of(block.get("input", {}), f"{where}.input")).decode()
    function = {"name": text_of(block.get("name"), f"{where}.name"), "arguments": arguments}
    return {"id": text_of(block.get("id"), f"{where}.id"), "type": "function", "function": function}


def _plain(content: object, where: str) -> str:
    """A text, or the texts of blocks that are nothing else."""
    if isinstance(content, str):
        return content
    texts = []
    for index, item in enumerate(listed(content, where)):
        block = object_of(item, f"{where}.{index}")
        if block.get("type") != "text":
            raise Invalid(f"'{where}.{index}.type' must be text: OpenAI's API has no place for others here")
        texts.append(text_of(block.get("text"), f"{where}.{index}.text"))
    return "".join(texts)


def _tools(body: Body) -> Body:
    tools = listed(body.get("tools") or [], "tools")
    choice = object_of(body.get("tool_choice") or {}, "tool_choice")
    chat: Body = {"tools": [_tool(tool, f"tools.{n}") for n, tool in enumerate(tools)]} if tools else {}
    kind = choice.get("type")
    if choice:
        if kind not in {"auto", "any", "none", "tool"}:
            raise Invalid("'tool_choice.type' must be one of auto, any, tool, none")
        if tools or kind in {"any", "tool"}:
            chat["tool_choice"] = _choice(choice)
    if tools and choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False
    return chat


def _choice(choice: Body) -> object:
    if choice["type"] == "tool":
        return {"type": "function", "function": {"name": text_of(choice.get("name"), "tool_choice.name")}}
    return {"any": "required"}.get(str(choice["type"]), choice["type"])


def _tool(value: object, where: str) -> Body:
    tool = object_of(value, where)
    if tool.get("type", "custom") != "custom":
        raise Invalid(f"'{where}.type' must be 'custom': this remote runs no tools itself")
    function: dict[str, Any] = {
        "name": text_of(tool.get("name"), f"{where}.name"),
        "parameters": object_of(tool.get("input_schema"), f"{where}.input_schema"),
    }
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name)}
    return {"type": "function", "function": function}


def _output(body: Body) -> Body:
    """How the answer is to look, and how long to think about it."""
    config = object_of(body.get("output_config", {}), "output_config")
    if unknown := {name for name, value in config.items() if value is not None} - {"effort", "format"}:
        raise Invalid(f"'output_config.{min(unknown)[:100]}' has no counterpart in OpenAI's API")
    chat: Body = {}
    if config.get("format") is not None:
        schema = object_of(config["format"], "output_config.format").get("schema")
        named = {"name": "answer", "strict": True, "schema": object_of(schema, "output_config.format.schema")}
        chat["response_format"] = {"type": "json_schema", "json_schema": named}
    effort = config.get("effort") or _effort_of(object_of(body.get("thinking", {}), "thinking"))
    return chat | ({"reasoning_effort": effort} if effort else {})


def _effort_of(thinking: Body) -> str | None:
    """A budget of thoughts as an effort; a model that may think as it likes is left to its own."""
    if thinking.get("type") != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    if type(budget) is not int or budget < 0:
        raise Invalid("'thinking.budget_tokens' must be a whole number")
    return next(effort for least, effort in _EFFORT_BUDGETS if budget >= least)
