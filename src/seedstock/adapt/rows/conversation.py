"""Conversations as files have them, made into lists of `{"role", "content"}` with four roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedstock.adapt.rows.limits import MAX_DEPTH, Place, bad, brief

ROLES: Mapping[str, str] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip
Message = dict[str, Any]
# What chat templates look at besides role and content.
_KEPT = ("tool_calls", "tool_call_id", "name", "reasoning_content")
_HINT = 'A message looks like {"role": "user", "content": "..."}'


def as_messages(value: Any, column: str, place: Place) -> list[Message]:
    """The conversation in a column, never empty. Raises Invalid naming the turn that cannot be read."""
    if not isinstance(value, list):
        raise bad(place, f"{brief(column)} is {kind_of(value)}, not a list of messages", _HINT)
    if not value:
        raise bad(place, f"{brief(column)} has no messages", "Leave the row out")
    return [
        _message(turn, f"message {number} of {brief(column)}", place) for number, turn in enumerate(value, 1)
    ]


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    names = {str: "text", list: "a list", dict: "an object", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def check_text(value: str, column: str, place: Place, *, empty: str) -> str:
    """The text, which must say something. Raises Invalid where it is blank or holds what is no text."""
    if not value.strip():
        raise bad(place, f"{brief(column)} is empty", empty)
    if "\0" in value:
        raise bad(place, f"{brief(column)} holds a NUL character", "Remove it: no text has one")
    return value


def _message(turn: Any, what: str, place: Place) -> Message:
    if not isinstance(turn, dict):
        raise bad(place, f"{what} is {kind_of(turn)}", _HINT)
    spoken = turn.get("role", turn.get("from"))
    role = ROLES.get(spoken.lower()) if isinstance(spoken, str) else None
    if role is None:
        known = "no role" if spoken is None else f"the role {brief(spoken)}"
        raise bad(place, f"{what} has {known}", f"Roles are {', '.join(ROLES)}")
    content = next((turn[key] for key in ("content", "value", "text") if turn.get(key) is not None), None)
    kept = {key: turn[key] for key in _KEPT if turn.get(key) is not None}
    for key, extra in kept.items():
        check_depth(extra, key, place)
    if content is None and not kept.get("tool_calls"):
        raise bad(place, f"{what} has no content", _HINT)
    return {"role": role, "content": _content(content, what, place), **kept}


def _content(content: Any, what: str, place: Place) -> str:
    if content is None:
        return ""
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    if isinstance(content, list):
        raise bad(place, f"{what} has parts that are no text", "Only text is trained on")
    if not isinstance(content, str):
        raise bad(place, f"the content of {what} is {kind_of(content)}", "Write it as a string")
    if "\0" in content:
        raise bad(place, f"{what} holds a NUL character", "Remove it: no text has one")
    return content


def check_depth(value: Any, column: str, place: Place) -> None:
    """Raises Invalid where lists and objects are nested beyond MAX_DEPTH."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return
    raise bad(place, f"{brief(column)} is nested more than {MAX_DEPTH} deep", "Leave the column out")
