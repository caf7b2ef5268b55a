"""How the answer to one request passes from an upstream to the caller's API.

`whole` and `feed` take what the upstream sent and give what the caller's `Answers` read: a chat or completion in
OpenAI's shape, or a message in Anthropic's. What the upstream sent is not trusted: anything else raises MsgspecError
or RemoteFailed, and never gets to the caller.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from seedstock.core.errors import EngineBusy, HubError, Invalid, RemoteBusy, RemoteFailed

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


class PassageEvents(Protocol):
    """One stream on its way."""

    def feed(self, data: bytes) -> bytes:
        """Whole events for the data of one of the upstream's. Raises what an error among them means."""
        ...

    def end(self) -> bytes:
        """Whole events for an upstream that hung up; nothing if it had not finished."""
        ...


class Passage(Protocol):
    """The way from one API to one API, under the caller's name for the model."""

    def whole(self, answer: bytes) -> bytes:
        """The answer."""
        ...

    def events(self) -> PassageEvents:
        """A fresh stream."""
        ...


class UpstreamError(msgspec.Struct, frozen=True):
    """An error as both APIs write it."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None


def error_of(error: UpstreamError) -> HubError:
    """What an error in the middle of a stream means; an upstream's words about itself are not handed on."""
    kinds = {error.type, error.code}
    if kinds & {"overloaded_error", 503, 529}:
        return EngineBusy("The upstream of this remote model is overloaded")
    if kinds & {"rate_limit_error", "rate_limit_exceeded", 429}:
        return RemoteBusy("The upstream of this remote model limits how often this hub asks")
    if kinds & {"invalid_request_error", "BadRequestError", 400}:
        return Invalid(error.message[:2000] or "The upstream refused the request")
    return RemoteFailed("The upstream of this remote model failed while it answered")


def renamed(answer: dict[str, Any], model: str) -> dict[str, Any]:
    """An answer under the caller's name for the model; which one the upstream says it was is kept beside it."""
    said = answer.get("model")
    return answer | {"model": model} | ({"upstream_model": said} if isinstance(said, str) and said else {})


def flatten(said: object) -> None:
    """Write a chat's message whose content is in parts, as Mistral's models that think give it, with texts alone."""
    if not isinstance(said, dict) or not isinstance(said.get("content"), list):
        return
    parts = [part for part in said["content"] if isinstance(part, dict)]
    thoughts = "".join(_text_of(part.get("thinking")) for part in parts if part.get("type") == "thinking")
    said["content"] = "".join(_text_of(part.get("text")) for part in parts if part.get("type") == "text")
    if thoughts:
        said["reasoning_content"] = thoughts


def _text_of(value: object) -> str:
    parts = value if isinstance(value, list) else [{"text": value}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def chat_event(chunk: dict[str, Any]) -> bytes:
    """A chunk on the wire."""
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
