"""A chat as the model's own template writes it, tools and their calls included."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import Ability
from seedstock.run.engines.transformers_model import Loaded

# What `apply_chat_template` takes itself, and a template must not be told in its place.
_OWN = frozenset(
    [
        "conversation", "tools", "documents", "chat_template", "add_generation_prompt", "continue_final_message",
        "tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
        "tokenizer_kwargs", "processor_kwargs",
    ]
)  # fmt: skip
_PROBE = "seedstock_probe"


def render(tokenizer: Any, body: dict[str, Any], tools: list[Any], *, sees: bool = False) -> str:
    """The prompt of a chat; a model that sees is told each message in parts. Raises Invalid."""
    if not tokenizer.chat_template:
        raise Invalid("This model has no chat template", hint="use /v1/completions")
    more = body.get("chat_template_kwargs") or {}
    if taken := sorted(_OWN & more.keys()):
        raise Invalid(f"'chat_template_kwargs.{taken[0]}' is not a setting of the template")
    said = _parts if sees else _text
    messages = [message | {"content": said(message.get("content"))} for message in body["messages"]]
    if any(message.get("tool_calls") for message in messages):
        # Most templates write a call's arguments as JSON, and some take them for JSON already.
        try:
            return _written(tokenizer, [_with_objects(message) for message in messages], tools, more)
        except Invalid:
            pass
    return _written(tokenizer, messages, tools, more)


def abilities_of(loaded: Loaded) -> tuple[Ability, ...]:
    """What a loaded model can do beyond text."""
    sees = loaded.processor is not None
    tools = loaded.pooling is None and _takes_tools(loaded.tokenizer, sees=sees)
    return (*((Ability.IMAGES,) if sees else ()), *((Ability.TOOLS,) if tools else ()))


def _takes_tools(tokenizer: Any, *, sees: bool) -> bool:
    """Whether the template has a place for tools."""
    function = {"name": _PROBE, "description": "", "parameters": {"type": "object", "properties": {}}}
    body = {"messages": [{"role": "user", "content": "hi"}]}
    try:
        return _PROBE in render(tokenizer, body, [{"type": "function", "function": function}], sees=sees)
    except Invalid:
        return False


def _written(tokenizer: Any, messages: list[Any], tools: list[Any], more: dict[str, Any]) -> str:
    try:
        written = tokenizer.apply_chat_template(
            messages, tools=tools or None, tokenize=False, add_generation_prompt=True, **more
        )
    except Exception as error:  # noqa: BLE001 - templates are programs of their own, and refuse what they do not know
        raise Invalid(f"This model's chat template refuses the messages: {str(error)[:300]}") from None
    return str(written)


def _with_objects(message: dict[str, Any]) -> dict[str, Any]:
    calls = [_with_object(call) for call in message.get("tool_calls") or []]
    return message | {"tool_calls": calls} if calls else message


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = msgspec.json.decode(function["arguments"], type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return call
    return call | {"function": function | {"arguments": arguments}}


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return [part if part["type"] == "text" else {"type": "image"} for part in content]
    return [{"type": "text", "text": content or ""}]


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""
