"""Calls of tools in what a model says, told from the rest while it is written.

Two forms are known: `<tool_call>{"name", "arguments"}</tool_call>` anywhere, as Hermes and Qwen write, and an answer that is
nothing but `{"name", "parameters"}` of a tool that was offered, as Llama 3 writes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from enum import Enum, auto
from typing import Any

import msgspec

from seedstock.run.engines.transformers_pieces import held_back

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_HEAD = re.compile(
    r'\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
_BARE = ('{"name":"', '{"type":"function","name":"')

Delta = dict[str, Any]
"""A piece of a call in OpenAI's shape."""


class _Whole(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()


class _State(Enum):
    START = auto()  # what begins here may be a call without marks
    TEXT = auto()
    HEAD = auto()  # a call, up to its arguments
    ARGUMENTS = auto()
    TAIL = auto()


class Calls:
    """One answer's text, on its way out."""

    def __init__(self, names: Collection[str], *, parallel: bool = True) -> None:
        self.number = 0
        """Calls that were begun."""
        self.over = False
        """Whether the only call that may be made was made."""
        self._names = ["".join(name.split()) for name in names]
        self._parallel = parallel
        self._state = _State.START
        self._marked = False
        self._rest = ""
        self._depth = 0
        self._quoted = self._escaped = False

    def feed(self, text: str, *, last: bool = False) -> Iterator[str | Delta]:
        """What can be told now: text, and pieces of calls."""
        self._rest += text
        before = None
        while not self.over and before != (self._state, len(self._rest)):
            before = self._state, len(self._rest)
            yield from self._step(last=last)
        if last and self._state is _State.HEAD:  # cut short
            yield (OPEN if self._marked else "") + self._rest

    def _step(self, *, last: bool) -> Iterator[str | Delta]:
        if self._state is _State.START:
            self._start(last=last)
        elif self._state is _State.TEXT:
            yield from self._text(last=last)
        elif self._state is _State.HEAD:
            yield from self._head()
        elif self._state is _State.ARGUMENTS:
            yield from self._arguments()
        else:
            self._tail()

    def _start(self, *, last: bool) -> None:
        if self.number:  # what may stand between calls
            self._rest = self._rest.lstrip("; \n")
        bare = "".join(self._rest.split())
        if not bare and not last:
            return
        self._marked = False
        self._state = _State.HEAD if bare.startswith("{") else _State.TEXT

    def _text(self, *, last: bool) -> Iterator[str]:
        told, opened, after = self._rest.partition(OPEN)
        if opened:
            self._rest, self._state, self._marked = after, _State.HEAD, True
        elif not last:
            told = told[: len(told) - held_back(told, [OPEN])]
            told = told[: len(told.rstrip())]  # white space goes if a call follows
            self._rest = self._rest[len(told) :]
            if told:
                yield told
            return
        else:
            self._rest = ""
        told = told.rstrip() if opened else told
        if told.strip() or (told and not self.number):
            yield told

    def _head(self) -> Iterator[str | Delta]:
        match = _HEAD.match(self._rest)
        if match and (self._marked or match["name"] in self._names):
            self._rest, self._state = self._rest[match.end() :], _State.ARGUMENTS
            self._depth, self._quoted, self._escaped = 0, False, False
            yield self._begun(match["name"])
        elif self._marked:
            inner, closed, after = self._rest.partition(CLOSE)
            if closed:
                self._rest, self._state = after, _State.TEXT
                call = _read(inner)
                yield from [OPEN + inner + CLOSE] if call is None else self._said(call)
        elif not self._may_be_bare():
            self._state = _State.TEXT

    def _may_be_bare(self) -> bool:
        """Whether an answer that began with a brace may still turn out to be a call of one of the tools."""
        bare = "".join(self._rest.split())
        for begin in _BARE:
            if begin.startswith(bare):
                return True
            if bare.startswith(begin):
                name, closed, _ = bare[len(begin) :].partition('"')
                fits = name in self._names if closed else any(one.startswith(name) for one in self._names)
                # What stands between a name and its arguments is short.
                return fits and len(bare) < len(begin) + len(name) + len('","parameters":') + 1
        return False

    def _arguments(self) -> Iterator[Delta]:
        end = self._end_of_arguments()
        told = self._rest if end is None else self._rest[:end]
        self._rest = self._rest[len(told) :]
        if end is not None:
            self._state = _State.TAIL
        if told:
            yield {"index": self.number - 1, "function": {"arguments": told}}

    def _end_of_arguments(self) -> int | None:
        for at, letter in enumerate(self._rest):
            if self._quoted:
                self._quoted = self._escaped or letter != '"'
                self._escaped = letter == "\\" and not self._escaped
            elif letter == '"':
                self._quoted = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return at + 1
        return None

    def _tail(self) -> None:
        """Drop the end of a call."""
        _, closed, after = self._rest.partition(CLOSE if self._marked else "}")
        if closed:
            self._rest = after
            self._state = _State.TEXT if self._marked else _State.START
            self.over = not self._parallel

    def _begun(self, name: str) -> Delta:
        self.number += 1
        function = {"name": name, "arguments": ""}
        identity = f"call_{secrets.token_hex(12)}"
        return {"index": self.number - 1, "id": identity, "type": "function", "function": function}

    def _said(self, call: tuple[str, str]) -> Iterator[Delta]:
        """A call that is known as a whole."""
        begun = self._begun(call[0])
        begun["function"]["arguments"] = call[1]
        self.over = not self._parallel
        yield begun


def joined(deltas: Iterable[Delta]) -> list[Delta]:
    """The calls that their pieces make."""
    calls: list[Delta] = []
    for delta in deltas:
        if "id" in delta:
            calls.append({name: value for name, value in delta.items() if name != "index"})
            calls[-1]["function"] = dict(delta["function"])
        else:
            calls[-1]["function"]["arguments"] += delta["function"]["arguments"]
    return calls


def _read(text: str) -> tuple[str, str] | None:
    """The name and the arguments of a call, or None for a text that is none."""
    try:
        call = msgspec.json.decode(text, type=_Whole)
        raw = (bytes(call.arguments) or bytes(call.parameters) or b"{}").decode()
        return call.name, msgspec.json.decode(raw, type=str) if raw.startswith('"') else raw
    except (msgspec.MsgspecError, RecursionError):
        return None
