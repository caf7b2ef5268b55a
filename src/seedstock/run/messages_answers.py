"""Anthropic's shape of answers, out of llama.cpp's own attempt at it.

What llama.cpp (2026.10) gets wrong and is set right here: a stop at a stop sequence is called `end_turn`; in a
stream a block ends only after all others have begun, where clients expect one block at a time; a tool call
begins without its `input`; no `ping` is sent; ids are those of another API; errors have another shape. The
deltas, which are nearly all of a stream, pass as they are.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from seedstock.core.errors import EngineBusy, EngineFailed, HubError, Invalid, LimitExceeded
from seedstock.run.request import Events

PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def error_type(error: HubError) -> str:
    """Anthropic's word for an error in the middle of a stream."""
    if isinstance(error, EngineBusy):
        return "overloaded_error"
    if isinstance(error, LimitExceeded):
        return "rate_limit_error"
    return "invalid_request_error" if isinstance(error, Invalid) else "api_error"


def event(data: dict[str, Any]) -> bytes:
    """A server-sent event that bears its type twice, as Anthropic's do."""
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), msgspec.json.encode(data))


class MessagesAnswers:
    """Answers under the caller's name for the model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def whole(self, answer: bytes) -> bytes:
        """A message, or a count of tokens."""
        data = msgspec.json.decode(answer, type=dict[str, Any])
        if data.get("type") == "message":
            rename(data, self._model)
            correct_stop(data)
        return msgspec.json.encode(data)

    def events(self) -> Events:
        """A fresh stream."""
        return MessagesEvents(self._model, self.error_event)

    def error_event(self, error: HubError) -> bytes:
        """An event that Anthropic's clients raise."""
        return event({"type": "error", "error": {"type": error_type(error), "message": error.message}})


def message_id(identity: str) -> str:
    """The engine's id of an answer in Anthropic's way; a fresh one for none."""
    return "msg_" + (identity.removeprefix("chatcmpl-") or secrets.token_urlsafe(24))


def rename(message: dict[str, Any], model: str) -> None:
    """Put the caller's name for the model, and an id of the right kind."""
    message["model"] = model
    message["id"] = message_id(message.get("id", ""))
    message["usage"] = {"cache_creation_input_tokens": 0} | message.get("usage", {})


def correct_stop(data: dict[str, Any]) -> None:
    """Call a stop at a stop sequence by its name."""
    if data.get("stop_sequence") and data.get("stop_reason") == "end_turn":
        data["stop_reason"] = "stop_sequence"


class _Head(msgspec.Struct):
    """As much of an event as tells whether it may pass."""

    type: str = ""
    index: int = -1
    error: msgspec.Raw = msgspec.Raw()


class _Error(msgspec.Struct):
    message: str = "The engine failed"


class MessagesEvents:
    """A stream of one block at a time."""

    def __init__(self, model: str, error_event: Callable[[HubError], bytes]) -> None:
        self.finished = False
        self._model = model
        self._error_event = error_event
        self._open: int | None = None
        self._thinks = False
        self._pinged = False

    def feed(self, events: bytes) -> bytes:
        """The same events in Anthropic's order; comments are dropped, as their place is taken by pings."""
        return b"".join(
            self._told(whole) for whole in events.split(b"\n\n") if whole and not whole.startswith(b":")
        )

    def _told(self, whole: bytes) -> bytes:
        data = whole[whole.index(b"data: ") + 6 :]
        head = msgspec.json.decode(data, type=_Head)
        if head.type == "content_block_delta":
            return whole + b"\n\n" if head.index == self._open else b""  # a late signature of a closed block
        if head.type == "content_block_stop":
            return self._close() if head.index == self._open else b""
        if head.error != msgspec.Raw():
            self.finished = True
            return self._error_event(EngineFailed(msgspec.json.decode(head.error, type=_Error).message))
        return self._rare(head.type, msgspec.json.decode(data, type=dict[str, Any]))

    def _rare(self, kind: str, data: dict[str, Any]) -> bytes:
        if kind == "message_start":
            rename(data["message"], self._model)
        elif kind == "content_block_start":
            return self._start(data)
        elif kind == "message_delta":
            correct_stop(data["delta"])
            return self._close() + event(data)
        elif kind == "message_stop":
            self.finished = True
        return event(data)

    def _start(self, data: dict[str, Any]) -> bytes:
        before = self._close()
        block = data["content_block"]
        self._open, self._thinks = data["index"], block["type"] == "thinking"
        if block["type"] == "tool_use":
            block["input"] = {}
        if self._thinks:
            block["signature"] = ""
        after = b"" if self._pinged else PING
        self._pinged = True
        return before + event(data) + after

    def _close(self) -> bytes:
        index, self._open = self._open, None
        return b"" if index is None else event({"type": "content_block_stop", "index": index})
