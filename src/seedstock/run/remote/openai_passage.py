"""OpenAI's shape from an upstream that speaks it: checked, and under the caller's name for the model."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import RemoteFailed
from seedstock.run.remote.passage import DONE, PING, UpstreamError, chat_event, error_of, flatten, renamed
from seedstock.run.responses_answers import Chunk

_Json = dict[str, Any]


class _Answer(msgspec.Struct):
    """What every completion has."""

    choices: list[_Json]
    usage: _Json | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _ChatChoice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_ChatChoice]


class _Vectors(msgspec.Struct):
    data: list[_Json]


class _Head(msgspec.Struct):
    """As much of an event as tells what it is."""

    choices: list[_Json] = []
    error: UpstreamError | str | None = None


class OpenAiPassage:
    """Chats (`chat`) or completions of texts; `choices` is how many were asked for."""

    def __init__(self, model: str, *, choices: int = 1, chat: bool = True) -> None:
        self._model = model
        self._choices = choices
        self._chat = chat

    def whole(self, answer: bytes) -> bytes:
        """The answer. Raises MsgspecError and RemoteFailed."""
        data: _Json = {"usage": None}
        data |= msgspec.json.decode(answer, type=_Json)
        choices = msgspec.convert(data, type=_Answer).choices
        if not choices or (self._choices == 1 and len(choices) > 1):
            raise RemoteFailed(f"The upstream gave {len(choices)} choices for {self._choices}")
        for choice in data["choices"]:
            choice.setdefault("finish_reason", None)
            flatten(choice.get("message"))
        if self._chat:
            msgspec.convert(data, type=_Chat)
        return msgspec.json.encode(renamed(data, self._model))

    def events(self) -> OpenAiPassageEvents:
        """A fresh stream."""
        return OpenAiPassageEvents(self._model, chat=self._chat)


class OpenAiPassageEvents:
    """A stream that ends with `[DONE]`, whether the upstream says so or just stops after its last choice."""

    def __init__(self, model: str, *, chat: bool) -> None:
        self._model = model
        self._chat = chat
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """The event under the caller's name. Raises MsgspecError, and what an error of the upstream means."""
        if not data:
            return PING
        if data == b"[DONE]":
            self._over = False  # said already
            return DONE
        chunk = msgspec.json.decode(data, type=_Json)
        head = msgspec.convert(chunk, type=_Head)
        if head.error is not None:
            raise error_of(head.error if isinstance(head.error, UpstreamError) else UpstreamError())
        for choice in head.choices:
            flatten(choice.get("delta"))
            self._over = self._over or bool(choice.get("finish_reason"))
        if self._chat:
            msgspec.convert(chunk, type=Chunk)
        return chat_event(renamed(chunk, self._model))

    def end(self) -> bytes:
        """The end, if the answer had come to one."""
        return DONE if self._over else b""


class EmbeddingPassage:
    """Vectors; there are no streams of them."""

    def __init__(self, model: str) -> None:
        self._model = model

    def whole(self, answer: bytes) -> bytes:
        """The vectors. Raises MsgspecError."""
        msgspec.json.decode(answer, type=_Vectors)
        return msgspec.json.encode(renamed(msgspec.json.decode(answer, type=_Json), self._model))

    def events(self) -> OpenAiPassageEvents:
        """None that are ever fed."""
        return OpenAiPassageEvents(self._model, chat=False)
