"""OpenAI's shape of answers, which is the engine's own.

Answers are not parsed. The engine names the model `SERVED_MODEL` in every answer; the bytes
`"model":"seedstock-engine"` become the caller's id by a plain replace. That is safe because a quote
inside a JSON string is always escaped, so text that a model generates can never hold those bytes; a stream is cut at event borders first, so the bytes are never split.
"""

from __future__ import annotations

import msgspec

from seedstock.core.errors import EngineBusy, HubError, Invalid, RemoteBusy, RemoteFailed
from seedstock.run.engines.base import SERVED_MODEL

SERVED = b'"model":' + msgspec.json.encode(SERVED_MODEL)


def error_code(error: HubError) -> str:
    """The code of an error in the middle of a stream."""
    if isinstance(error, EngineBusy):
        return "engine_busy"
    return "remote_failed" if isinstance(error, RemoteFailed | RemoteBusy) else "engine_failed"


class OpenAiAnswers:
    """Answers as the engine gives them, under the caller's name for the model."""

    def __init__(self, model: str) -> None:
        self._named = b'"model":' + msgspec.json.encode(model)

    def whole(self, answer: bytes) -> bytes:
        """The answer with the caller's name."""
        return answer.replace(SERVED, self._named)

    def events(self) -> OpenAiEvents:
        """A fresh stream."""
        return OpenAiEvents(self._named)

    def error_event(self, error: HubError) -> bytes:
        """A server-sent event that OpenAI clients raise as an API error."""
        kind = "invalid_request_error" if isinstance(error, Invalid) else "server_error"
        body = {"error": {"message": error.message, "type": kind, "param": None, "code": error_code(error)}}
        return b"data: " + msgspec.json.encode(body) + b"\n\n"


class OpenAiEvents:
    """A stream that ends with `data: [DONE]`, or with an error."""

    def __init__(self, named: bytes) -> None:
        self._named = named
        self.finished = False

    def feed(self, events: bytes) -> bytes:
        """The events with the caller's name."""
        ended = events.endswith(b"data: [DONE]\n\n") or b'data: {"error":' in events
        self.finished = self.finished or ended
        return events.replace(SERVED, self._named)
