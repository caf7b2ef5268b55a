"""A chat's answer of OpenAI's API as a message of Anthropic's: whole, or as a stream of one block at a time."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from seedstock.core.errors import RemoteFailed
from seedstock.run.messages_answers import PING, event, message_id
from seedstock.run.remote.passage import UpstreamError, error_of, flatten

_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    index: int | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Said(msgspec.Struct):
    """A message, or the next piece of one."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None

    @property
    def thoughts(self) -> str:
        """What servers put in either field."""
        return self.reasoning_content or self.reasoning or ""


class _Choice(msgspec.Struct):
    message: _Said = msgspec.field(default_factory=_Said)
    delta: _Said = msgspec.field(default_factory=_Said)
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    id: str = ""
    model: str = ""
    error: UpstreamError | str | None = None


class _Chat(_Chunk, kw_only=True):
    choices: list[_Choice]


class ChatToMessage:
    """Answers to one request."""

    def __init__(self, model: str) -> None:
        self._model = model

    def whole(self, answer: bytes) -> bytes:
        """The message. Raises MsgspecError and RemoteFailed."""
        chat = msgspec.convert(_flat(answer, "message"), type=_Chat)
        if not chat.choices:
            raise RemoteFailed("The upstream gave no answer")
        choice = chat.choices[0]
        content = _content(choice.message, cut=choice.finish_reason == "length")
        message = _head(chat, self._model) | {
            "content": content,
            "stop_reason": _REASONS.get(choice.finish_reason or "", "end_turn"),
            "stop_sequence": None,
            "usage": _numbers(chat.usage),
        }
        return msgspec.json.encode(message)

    def events(self) -> ChatToMessageEvents:
        """A fresh stream."""
        return ChatToMessageEvents(self._model)


def _flat(data: bytes, said: str) -> dict[str, Any]:
    """A chat whose messages are texts."""
    chat = msgspec.json.decode(data, type=dict[str, Any])
    for choice in chat["choices"] if isinstance(chat.get("choices"), list) else ():
        flatten(choice.get(said) if isinstance(choice, dict) else None)
    return chat


def _head(chat: _Chunk, model: str) -> dict[str, Any]:
    said = {"upstream_model": chat.model} if chat.model else {}
    return {"id": message_id(chat.id), "type": "message", "role": "assistant", "model": model} | said


def _content(said: _Said, *, cut: bool) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if said.thoughts:
        content.append({"type": "thinking", "thinking": said.thoughts, "signature": ""})
    if text := said.content or said.refusal:
        content.append({"type": "text", "text": text})
    for call in said.tool_calls or []:
        try:
            value = msgspec.json.decode(call.function.arguments or "{}", type=dict[str, Any])
        except msgspec.MsgspecError:
            if cut:
                continue
            raise
        identity, name = call.id or _call_id(), call.function.name or ""
        content.append({"type": "tool_use", "id": identity, "name": name, "input": value})
    return content


def _call_id() -> str:
    return f"toolu_{secrets.token_hex(12)}"


def _numbers(usage: _Usage | None) -> dict[str, int]:
    usage = usage or _Usage()
    cached = (usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None) or 0
    return {
        "input_tokens": max(0, usage.prompt_tokens - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }


class ChatToMessageEvents:
    """A stream. How long the prompt was is only known at its end, and said there."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._begun = False
        self._over = False
        self._reason: str | None = None
        self._usage: _Usage | None = None
        self._index = -1
        self._open = ""
        self._call: tuple[str, int | None] = ("", None)
        self._seen: set[str] = set()
        self._numbers: set[int | None] = set()

    def feed(self, data: bytes) -> bytes:
        """The events that a chunk amounts to. Raises MsgspecError, RemoteFailed, and what an error means."""
        if not data:
            return PING if self._begun else b""
        if data == b"[DONE]":
            return self._finish()
        chunk = msgspec.convert(_flat(data, "delta"), type=_Chunk)
        if chunk.error is not None:
            raise error_of(chunk.error if isinstance(chunk.error, UpstreamError) else UpstreamError())
        told = b"" if self._begun else self._begin(chunk)
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            told += self._say("thinking", choice.delta.thoughts)
            told += self._say("text", choice.delta.content or choice.delta.refusal or "")
            for call in choice.delta.tool_calls or []:
                told += self._add_call(call)
            self._reason = choice.finish_reason or self._reason
        return told

    def end(self) -> bytes:
        """The end, if the answer had come to one."""
        return self._finish() if self._reason is not None and not self._over else b""

    def _begin(self, chunk: _Chunk) -> bytes:
        self._begun = True
        empty: dict[str, Any] = {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _numbers(None),
        }
        return event({"type": "message_start", "message": _head(chunk, self._model) | empty}) + PING

    def _finish(self) -> bytes:
        self._over = True
        told = (b"" if self._begun else self._begin(_Chunk())) + self._close()
        reason = _REASONS.get(self._reason or "", "end_turn")
        delta = {"stop_reason": reason, "stop_sequence": None}
        told += event({"type": "message_delta", "delta": delta, "usage": _numbers(self._usage)})
        return told + event({"type": "message_stop"})

    def _say(self, kind: str, text: str) -> bytes:
        if not text:
            return b""
        empty: dict[str, Any] = {"type": kind, kind: ""}
        if kind == "thinking":
            empty["signature"] = ""
        told = b"" if self._open == kind else self._start(kind, empty)
        return told + self._delta({"type": f"{kind}_delta", kind: text})

    def _add_call(self, call: _Call) -> bytes:
        told = b""
        if self._is_new(call):
            identity = call.id or _call_id()
            self._call = (identity, call.index)
            self._seen.add(identity)
            self._numbers.add(call.index)
            empty = {"type": "tool_use", "id": identity, "name": call.function.name or "", "input": {}}
            told = self._start("tool_use", empty)
        elif self._open != "tool_use" or call.index not in {None, self._call[1]}:
            raise RemoteFailed("The upstream went back to a call of a tool that it had ended")
        if not call.function.arguments:
            return told
        return told + self._delta({"type": "input_json_delta", "partial_json": call.function.arguments})

    def _is_new(self, call: _Call) -> bool:
        """Some servers number all calls 0, some name none, some repeat the name in every piece."""
        if call.id:
            return call.id not in self._seen
        return call.index not in self._numbers and not (call.index is None and self._open == "tool_use")

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        told = self._close()
        self._open = kind
        self._index += 1
        return told + event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return event({"type": "content_block_stop", "index": self._index})
