"""Forcing a model to call a tool.

llama.cpp (2026.10) takes `tool_choice: required` and then lets the model say what it likes; a choice of one
function it ignores. So a forced call is had by holding the answer to a JSON schema, `{"name", "arguments"}`
of one of the tools, which the engine does enforce; the JSON is handed on as a call. The tools stay in the
prompt. In a stream the call comes in one piece, at its end.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.openai_answers import OpenAiAnswers, OpenAiEvents
from seedstock.run.request_checks import Body

_DEFINITIONS = ("$defs", "definitions")


def checked_tools(tools: list[Any]) -> dict[str, Body]:
    """The parameters' schema of every function, by its name. Raises Invalid."""
    found: dict[str, Body] = {}
    for index, tool in enumerate(tools):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise Invalid(f"'tools[{index}]' must be of type 'function', with a 'function'")
        name, schema = function.get("name"), function.get("parameters") or {"type": "object"}
        if not isinstance(name, str) or not name or not isinstance(schema, dict):
            raise Invalid(f"'tools[{index}].function' must have a name, and an object as parameters")
        found[name] = schema
    return found


def forced_names(choice: object, tools: dict[str, Body]) -> list[str]:
    """The functions of which one must be called; none if the model may choose. Raises Invalid."""
    if choice is None or choice in ("auto", "none"):
        return []
    if not tools:
        raise Invalid("'tool_choice' needs 'tools'")
    if choice == "required":
        return list(tools)
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name is None:
        raise Invalid("'tool_choice' must be 'none', 'auto', 'required' or name a function")
    if not isinstance(name, str) or name not in tools:
        raise Invalid(f"'tool_choice' names {str(name)[:100]!r}, which is not among the tools")
    return [name]


def call_schema(names: list[str], tools: dict[str, Body]) -> Body:
    """What the JSON of a call must look like. Raises Invalid."""
    shared: dict[str, Body] = {key: {} for key in _DEFINITIONS}
    calls = []
    for name in names:
        schema = dict(tools[name])
        for key in _DEFINITIONS:  # references start at the root of the whole schema
            for defined, value in _definitions(schema.pop(key, {})).items():
                if shared[key].setdefault(defined, value) != value:
                    raise Invalid(f"'tools' define {defined[:100]!r} in two ways")
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": schema},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return {"anyOf": calls} | {key: value for key, value in shared.items() if value}


def _definitions(value: object) -> Body:
    if not isinstance(value, dict):
        raise Invalid("'$defs' of a tool's parameters must be an object")
    return value


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw


def _as_call(text: str) -> Body | None:
    """The call that a text is, or None for one that was cut short."""
    try:
        call = msgspec.json.decode(text, type=_Call)
    except msgspec.MsgspecError:
        return None
    arguments = bytes(call.arguments).decode()
    identity = f"call_{secrets.token_hex(12)}"
    return {"id": identity, "type": "function", "function": {"name": call.name, "arguments": arguments}}


class ForcedCallAnswers(OpenAiAnswers):
    """Completions whose content is a call."""

    def whole(self, answer: bytes) -> bytes:
        """The completion with its calls as calls."""
        data = msgspec.json.decode(super().whole(answer), type=dict[str, Any])
        for choice in data["choices"]:
            call = _as_call(choice["message"].get("content") or "")
            if call is not None:
                choice["message"] |= {"content": None, "tool_calls": [call]}
                choice["finish_reason"] = "tool_calls"
        return msgspec.json.encode(data)

    def events(self) -> ForcedCallEvents:
        """A fresh stream."""
        return ForcedCallEvents(self._named)


class ForcedCallEvents(OpenAiEvents):
    """A stream in which the pieces of content are held back until they make a call."""

    def __init__(self, named: bytes) -> None:
        super().__init__(named)
        self._said: dict[int, str] = {}

    def feed(self, events: bytes) -> bytes:
        """The events without content, and with a call before the end of each choice."""
        return b"".join(self._told(whole) for whole in super().feed(events).split(b"\n\n") if whole)

    def _told(self, whole: bytes) -> bytes:
        data = msgspec.json.decode(whole[6:], type=dict[str, Any]) if whole.startswith(b"data: {") else {}
        if not data.get("choices"):
            return whole + b"\n\n"
        (choice,) = data["choices"]
        delta, index = choice["delta"], choice["index"]
        text = delta.pop("content", None)
        if text:
            self._said[index] = self._said.get(index, "") + text
            if not delta and choice["finish_reason"] is None:
                return b""
        if choice["finish_reason"] is not None:
            said = self._said.pop(index, "")
            call = _as_call(said)
            if call is not None:
                choice["finish_reason"] = "tool_calls"
                delta["tool_calls"] = [{"index": 0} | call]
            elif said:
                delta["content"] = said
        return b"data: " + msgspec.json.encode(data) + b"\n\n"
