"""A checked request to an engine, and how its answer is read back to the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from seedstock.core.errors import HubError
from seedstock.run.engines.base import Ability


class Events(Protocol):
    """One stream of server-sent events on its way from the engine to the caller."""

    @property
    def finished(self) -> bool:
        """Whether the answer is whole: a stream that ends before was cut off."""
        ...

    def feed(self, events: bytes) -> bytes:
        """What the caller gets for one or more whole events of the engine; may be nothing."""
        ...


class Answers(Protocol):
    """How the answers to one request read in the API that the caller speaks."""

    def whole(self, answer: bytes) -> bytes:
        """The caller's JSON for the engine's."""
        ...

    def events(self) -> Events:
        """A fresh stream."""
        ...

    def error_event(self, error: HubError) -> bytes:
        """The event that ends a stream which failed on its way."""
        ...


class EngineRequest(msgspec.Struct, frozen=True):
    """A checked request: `path` and `body` are what the engine gets, `model` is the caller's name for the model.

    `generates` is false for a question that makes no text, and so is no run of the model.
    """

    path: str
    model: str
    stream: bool
    body: bytes
    answers: Answers
    needs: tuple[Ability, ...] = ()
    generates: bool = True
    on_start: Callable[[], None] | None = None
    """Called when an engine takes the request up: its wait is over."""
    tells_prompt: bool = False
    """Whether an engine that can is to tell of the prompt's tokens in a stream, in events that `answers` take out."""

    @property
    def counts(self) -> bool:
        """Whether the answer counts as use of the model: text or embeddings, and no mere question about tokens."""
        return self.generates or self.path == "/v1/embeddings"
