"""Anthropic's shape from an upstream that speaks it: checked, and under the caller's name for the model."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from seedstock.run.messages_answers import MessagesAnswers, event
from seedstock.run.remote.passage import UpstreamError, error_of, renamed

_Json = dict[str, Any]
_KIND = re.compile(r"[a-z_]{1,64}\Z")
_LAST = b"event: message_stop\n"


class _Whole(msgspec.Struct):
    content: list[_Json]


class _Count(msgspec.Struct):
    input_tokens: int


class _Head(msgspec.Struct):
    type: str = ""
    message: _Json = {}
    error: UpstreamError | None = None


class AnthropicPassage:
    """Messages, or with `counts` their numbers of tokens."""

    def __init__(self, model: str, *, counts: bool = False) -> None:
        self._model = model
        self._counts = counts

    def whole(self, answer: bytes) -> bytes:
        """The message or the number. Raises MsgspecError."""
        msgspec.json.decode(answer, type=_Count if self._counts else _Whole)
        data = msgspec.json.decode(answer, type=_Json)
        return msgspec.json.encode(data if self._counts else renamed(data, self._model))

    def events(self) -> AnthropicPassageEvents:
        """A fresh stream."""
        return AnthropicPassageEvents(self._model)


class AnthropicPassageEvents:
    """A stream whose events pass one by one."""

    def __init__(self, model: str) -> None:
        self._model = model

    def feed(self, data: bytes) -> bytes:
        """The event. Raises MsgspecError, and what an error of the upstream means."""
        if not data:
            return b""
        head = msgspec.json.decode(data, type=_Head)
        if head.error is not None:
            raise error_of(head.error)
        if not _KIND.match(head.type):
            raise msgspec.ValidationError("an event has no type")
        told = msgspec.json.decode(data, type=_Json)
        if head.type == "message_start":
            told["message"] = renamed(head.message, self._model)
        return event(told)

    def end(self) -> bytes:
        """Nothing: a stream of Anthropic's says when it ends."""
        return b""


class RemoteMessageAnswers(MessagesAnswers):
    """What a passage gives is in the caller's shape already."""

    def whole(self, answer: bytes) -> bytes:
        """The message as it is."""
        return answer

    def events(self) -> RemoteMessageEvents:
        """A fresh stream."""
        return RemoteMessageEvents()


class RemoteMessageEvents:
    """A stream that is as it should be."""

    def __init__(self) -> None:
        self.finished = False

    def feed(self, events: bytes) -> bytes:
        """The events as they are."""
        self.finished = self.finished or events.startswith(_LAST) or b"\n\n" + _LAST in events
        return events
