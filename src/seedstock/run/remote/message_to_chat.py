"""A message of Anthropic's API as a chat's answer of OpenAI's: whole, or as a stream.

Thoughts are in `reasoning_content`; with their signatures they are in `thinking_blocks` too, which a caller may send
back so that the model goes on from them after it used a tool.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from seedstock.run.remote.passage import DONE, PING, UpstreamError, chat_event, error_of

_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    partial_json: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    stop_reason: str | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(msgspec.Struct):
    content: list[_Block] = []
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Delta(_Block):
    type: str = ""


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message = msgspec.field(default_factory=_Message)
    content_block: _Block = msgspec.field(default_factory=lambda: _Block(""))
    delta: _Delta = msgspec.field(default_factory=_Delta)
    usage: _Usage = msgspec.field(default_factory=_Usage)
    error: UpstreamError | None = None


class _Whole(_Message, kw_only=True):
    content: list[_Block]


class MessageToChat:
    """Answers to one request; `usage_asked` is whether a stream ends with its numbers."""

    def __init__(self, model: str, *, usage_asked: bool = False) -> None:
        self._model = model
        self._usage_asked = usage_asked

    def whole(self, answer: bytes) -> bytes:
        """The completion. Raises MsgspecError."""
        message = msgspec.json.decode(answer, type=_Whole)
        blocks = message.content
        text = "".join(block.text or "" for block in blocks if block.type == "text")
        told: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls := [_call(block) for block in blocks if block.type == "tool_use"]:
            told["tool_calls"] = calls
        if thoughts := [_thought(block) for block in blocks if "thinking" in block.type]:
            told["reasoning_content"] = "".join(thought.get("thinking", "") for thought in thoughts)
            told["thinking_blocks"] = thoughts
        head = _head(message, self._model, "chat.completion")
        choice = {
            "index": 0,
            "message": told,
            "finish_reason": _reason(message.stop_reason),
            "logprobs": None,
        }
        return msgspec.json.encode(head | {"choices": [choice], "usage": _numbers(message.usage)})

    def events(self) -> MessageToChatEvents:
        """A fresh stream."""
        return MessageToChatEvents(self._model, usage_asked=self._usage_asked)


def _head(message: _Message, model: str, kind: str) -> dict[str, Any]:
    said = {"upstream_model": message.model} if message.model else {}
    identity = f"chatcmpl-{message.id.removeprefix('msg_')}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model} | said


def _reason(stop: str | None) -> str:
    return _REASONS.get(stop or "", "stop")


def _call(block: _Block) -> dict[str, Any]:
    function = {"name": block.name, "arguments": bytes(block.input).decode()}
    return {"id": block.id, "type": "function", "function": function}


def _thought(block: _Block) -> dict[str, Any]:
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data or ""}
    return {"type": block.type, "thinking": block.thinking or "", "signature": block.signature or ""}


def _numbers(usage: _Usage) -> dict[str, Any]:
    cached = usage.cache_read_input_tokens or 0
    asked = (usage.input_tokens or 0) + cached + (usage.cache_creation_input_tokens or 0)
    said = usage.output_tokens or 0
    return {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class MessageToChatEvents:
    """A stream of one choice."""

    def __init__(self, model: str, *, usage_asked: bool) -> None:
        self._model = model
        self._usage_asked = usage_asked
        self._start = _head(_Message(), model, "chat.completion.chunk")
        self._usage = _Usage()
        self._calls: dict[int, int] = {}
        self._thought: _Block | None = None

    def feed(self, data: bytes) -> bytes:
        """The chunks that an event amounts to. Raises MsgspecError, and what an error of the upstream means."""
        if not data:
            return PING
        told = msgspec.json.decode(data, type=_Event)
        if told.error is not None:
            raise error_of(told.error)
        if told.type == "content_block_delta":  # nearly all of a stream
            return self._add(told.index, told.delta)
        if told.type == "content_block_start":
            return self._begin(told.index, told.content_block)
        if told.type == "content_block_stop":
            return self._end_thought()
        return self._rare(told)

    def end(self) -> bytes:
        """Nothing: a stream of Anthropic's says when it ends."""
        return b""

    def _rare(self, told: _Event) -> bytes:
        if told.type == "message_start":
            self._start = _head(told.message, self._model, "chat.completion.chunk")
            self._count(told.message.usage)
            return self._chunk({"role": "assistant", "content": ""})
        if told.type == "message_delta":
            self._count(told.usage)
            return self._chunk({}, _reason(told.delta.stop_reason))
        if told.type == "message_stop":
            return self._last() + DONE
        return PING if told.type == "ping" else b""

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return chat_event(self._start | {"choices": [choice]})

    def _last(self) -> bytes:
        if not self._usage_asked:
            return b""
        return chat_event(self._start | {"choices": [], "usage": _numbers(self._usage)})

    def _count(self, usage: _Usage) -> None:
        """Take what is said now for what was said before; an event may leave numbers out."""
        for name in usage.__struct_fields__:
            if (number := getattr(usage, name)) is not None:
                setattr(self._usage, name, number)

    def _begin(self, index: int, block: _Block) -> bytes:
        if block.type == "tool_use":
            number = self._calls[index] = len(self._calls)
            call = {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": ""}}
            return self._chunk({"tool_calls": [{"index": number} | call]})
        if block.type in {"thinking", "redacted_thinking"}:
            self._thought = block
        return self._chunk({"content": block.text}) if block.text else b""

    def _add(self, index: int, delta: _Delta) -> bytes:
        if delta.text:
            return self._chunk({"content": delta.text})
        if delta.partial_json and index in self._calls:
            function = {"arguments": delta.partial_json}
            return self._chunk({"tool_calls": [{"index": self._calls[index], "function": function}]})
        if self._thought is not None:
            self._thought.thinking = (self._thought.thinking or "") + (delta.thinking or "")
            self._thought.signature = (self._thought.signature or "") + (delta.signature or "")
        return self._chunk({"reasoning_content": delta.thinking}) if delta.thinking else b""

    def _end_thought(self) -> bytes:
        block, self._thought = self._thought, None
        return b"" if block is None else self._chunk({"thinking_blocks": [_thought(block)]})
