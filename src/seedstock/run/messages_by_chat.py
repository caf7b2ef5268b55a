"""Anthropic's Messages for engines that know only OpenAI's chats."""

from __future__ import annotations

import msgspec

from seedstock.core.errors import EngineFailed, HubError, Invalid
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.remote.chat_to_message import ChatToMessage, ChatToMessageEvents
from seedstock.run.remote.messages_to_chat import chat_request
from seedstock.run.request import Answers, EngineRequest
from seedstock.run.request_checks import Body

_MESSAGES, _CHAT = "/v1/messages", "/v1/chat/completions"
# The engine's own name for the model; that no text holds it, see `run.openai_answers`.
_ENGINE = b',"upstream_model":' + msgspec.json.encode(SERVED_MODEL)


def as_chat(request: EngineRequest) -> EngineRequest:
    """The request as a chat, if it is for a message. Raises Invalid for what a chat has no words for."""
    if request.path == f"{_MESSAGES}/count_tokens":
        raise Invalid("The engine of this model counts no tokens of messages", hint="use /v1/tokenize")
    if request.path != _MESSAGES:
        return request
    body = chat_request(msgspec.json.decode(request.body, type=Body)) | {"model": SERVED_MODEL}
    answers = _ByChat(request.model, request.answers)
    return msgspec.structs.replace(request, path=_CHAT, body=msgspec.json.encode(body), answers=answers)


class _ByChat:
    """Messages out of a chat's answers."""

    def __init__(self, model: str, answers: Answers) -> None:
        self._answers = answers
        self._passage = ChatToMessage(model)

    def whole(self, answer: bytes) -> bytes:
        """The message."""
        return self._answers.whole(self._passage.whole(answer).replace(_ENGINE, b""))

    def events(self) -> _Events:
        """A fresh stream."""
        return _Events(self._passage.events(), self._answers)

    def error_event(self, error: HubError) -> bytes:
        """As for any message."""
        return self._answers.error_event(error)


class _Events:
    """A stream of a message out of one of a chat."""

    def __init__(self, passed: ChatToMessageEvents, answers: Answers) -> None:
        self._passed = passed
        self._answers = answers
        self._message = answers.events()
        self._broken = False

    @property
    def finished(self) -> bool:
        """Whether the message has come to its end."""
        return self._broken or self._message.finished

    def feed(self, events: bytes) -> bytes:
        """The events for some whole ones of a chat."""
        told = b""
        for whole in events.split(b"\n\n"):
            if self.finished or not whole.startswith(b"data: "):
                continue
            try:
                told += self._passed.feed(whole[6:])
            except (HubError, msgspec.MsgspecError):
                self._broken = True
                return told + self._answers.error_event(EngineFailed("The engine failed while it answered"))
        return self._message.feed(told.replace(_ENGINE, b"")) if told else b""
