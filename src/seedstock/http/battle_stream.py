"""The stream of one answer of a battle: written anew, so that nothing in it names the model, and kept at its end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from seedstock.arena.service import Arena, Turn, hide_names
from seedstock.core.errors import HubError
from seedstock.http.threads import in_thread
from seedstock.run.service import EventStream

_MAX_CHARS = 1 << 20


class BattleStream(EventStream):
    """Events with the text alone. What was said is kept when the stream ends, also if the reader stops it."""

    def __init__(self, events: EventStream, turn: Turn, arena: Arena) -> None:
        self._events = events
        self._turn = turn
        self._arena = arena
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._details: dict[str, Any] = {}
        self._began_s = time.monotonic()
        self._kept = self._failed = self._finished = False
        super().__init__(b": begins\n\n", self._written(), self._error_event)

    async def aclose(self) -> None:
        """Stop the engine and keep the answer."""
        await self._events.aclose()
        await super().aclose()
        await self._keep()

    async def _written(self) -> AsyncGenerator[bytes]:
        buffer = b""
        async for piece in self._events:
            *whole, buffer = (buffer + piece).split(b"\n\n")
            for event in whole:
                written = self._event(event)
                if written:
                    yield written
        self._finished = True
        await self._keep()
        yield b"data: [DONE]\n\n"

    def _event(self, event: bytes) -> bytes:
        data = event.partition(b"data:")[2].strip()
        if not data or data == b"[DONE]":
            return b""
        decoded = msgspec.json.decode(data)
        if decoded.get("error"):
            return self._error_event(HubError(str(decoded["error"].get("message", "The engine failed"))))
        if decoded.get("usage"):
            self._details["tokens"] = decoded["usage"].get("completion_tokens")
        choice: dict[str, Any] = next(iter(decoded.get("choices") or ()), {})
        delta = choice.get("delta") or {}
        shown = {name: delta[name] for name in ("content", "reasoning_content") if delta.get(name)}
        if not shown:
            return b""
        self._details.setdefault("firstMs", round(1000 * (time.monotonic() - self._began_s)))
        self._content.append(shown.get("content", ""))
        self._reasoning.append(shown.get("reasoning_content", ""))
        return b"data: " + msgspec.json.encode({"choices": [{"index": 0, "delta": shown}]}) + b"\n\n"

    def _error_event(self, error: HubError) -> bytes:
        self._failed = True
        if not self._turn.battle.revealed:
            hide_names(error, self._turn)
        return b"data: " + msgspec.json.encode({"error": {"message": error.message}}) + b"\n\n"

    async def _keep(self) -> None:
        """Once. Nothing is kept of an answer that failed or never began, so that it can be tried again."""
        content, reasoning = "".join(self._content), "".join(self._reasoning)
        if self._kept or self._failed or not (self._finished or content or reasoning):
            return
        self._kept = True
        if reasoning:
            self._details["reasoning"] = reasoning[:_MAX_CHARS]
        self._details["seconds"] = round(time.monotonic() - self._began_s, 3)
        await in_thread(self._arena.answered, self._turn, content[:_MAX_CHARS], self._details)
