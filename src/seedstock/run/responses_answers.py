"""A chat's answer as a response: whole, or as the numbered events of OpenAI's Responses API."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec

from seedstock.core.errors import EngineFailed, HubError, Invalid
from seedstock.run.openai_answers import error_code

_PART = {"message": "output_text", "reasoning": "reasoning_text"}


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    message: str = "The engine failed"


class Chunk(msgspec.Struct):
    """As much of an event of a streamed chat as is read."""

    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    error: _Error | None = None


class ResponsesAnswers:
    """Answers to one request, whose settings a response repeats."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        self._model = model
        self._settings = settings

    def whole(self, answer: bytes) -> bytes:
        """The response."""
        data = msgspec.json.decode(answer, type=dict[str, Any])
        (choice,) = data["choices"]
        cut = choice["finish_reason"] == "length"
        message = choice["message"]
        said = [("reasoning", message.get("reasoning_content")), ("message", message.get("content"))]
        items = [item(_identity(kind), kind, text, "completed") for kind, text in said if text]
        response = self.skeleton()
        finish(response, items, data["usage"], cut=cut)
        return msgspec.json.encode(response)

    def skeleton(self) -> dict[str, Any]:
        """A response that has yet to be made."""
        settings = self._settings
        return {
            "id": f"resp_{secrets.token_hex(16)}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self._model,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "truncation": "disabled",
            "usage": None,
            **settings,
            "text": {"format": {"type": "text"}} | (settings.get("text") or {}),
            "metadata": settings.get("metadata") or {},
        }

    def events(self) -> ResponsesEvents:
        """A fresh stream."""
        return ResponsesEvents(self)

    def error_event(self, error: HubError) -> bytes:
        """An event that the stock client raises: it looks for `error`, the documents have the rest."""
        kind = "invalid_request_error" if isinstance(error, Invalid) else "server_error"
        told = {"message": error.message, "code": error_code(error), "param": None}
        return _wire({"type": "error", **told, "sequence_number": 0, "error": told | {"type": kind}})


def _identity(kind: str) -> str:
    return f"{'rs' if kind == 'reasoning' else 'msg'}_{secrets.token_hex(16)}"


def item(identity: str, kind: str, text: str | None, status: str) -> dict[str, Any]:
    """An item of the output; without a text, one that is still empty."""
    content = [] if text is None else [_part(kind, text)]
    if kind == "reasoning":
        return {"id": identity, "type": kind, "status": status, "summary": [], "content": content}
    return {"id": identity, "type": kind, "status": status, "role": "assistant", "content": content}


def _part(kind: str, text: str) -> dict[str, Any]:
    part = {"type": _PART[kind], "text": text}
    return part | {"annotations": [], "logprobs": []} if kind == "message" else part


def finish(
    response: dict[str, Any], items: list[dict[str, Any]], usage: dict[str, Any] | None, *, cut: bool
) -> None:
    """Complete a response, or mark it as cut short. The engine does not count thoughts apart."""
    response["output"] = items
    response["status"] = "incomplete" if cut else "completed"
    if cut:
        response["incomplete_details"] = {"reason": "max_output_tokens"}
        if items:
            items[-1]["status"] = "incomplete"
    usage = usage or {}
    response["usage"] = {
        "input_tokens": usage.get("prompt_tokens", 0),
        "input_tokens_details": usage.get("prompt_tokens_details") or {"cached_tokens": 0},
        "output_tokens": usage.get("completion_tokens", 0),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.get("total_tokens", 0),
    }


def _wire(data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), msgspec.json.encode(data))


class ResponsesEvents:
    """A stream: each item is begun, filled and ended before the next."""

    def __init__(self, answers: ResponsesAnswers) -> None:
        self.finished = False
        self._answers = answers
        self._response = answers.skeleton()
        self._number = 0
        self._items: list[dict[str, Any]] = []
        self._kind = ""
        self._identity = ""
        self._text: list[str] = []
        self._usage: dict[str, Any] | None = None
        self._cut = False

    def feed(self, events: bytes) -> bytes:
        """The events that some of a chat's amount to."""
        return b"".join(self._told(whole) for whole in events.split(b"\n\n") if whole)

    def _told(self, whole: bytes) -> bytes:
        if not whole.startswith(b"data: "):
            return whole + b"\n\n"  # a comment that keeps the stream alive
        if whole == b"data: [DONE]":
            return self._end()
        chunk = msgspec.json.decode(whole[6:], type=Chunk)
        if chunk.error is not None:
            self.finished = True
            return self._answers.error_event(EngineFailed(chunk.error.message))
        told = b"" if self._number else self._begin()
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            told += self._add("reasoning", choice.delta.reasoning_content)
            told += self._add("message", choice.delta.content)
            self._cut = self._cut or choice.finish_reason == "length"
        return told

    def _begin(self) -> bytes:
        return self._event("created", response=self._response) + self._event(
            "in_progress", response=self._response
        )

    def _event(self, name: str, **fields: Any) -> bytes:
        data = {"type": f"response.{name}", "sequence_number": self._number} | fields
        self._number += 1
        return _wire(data)

    def _add(self, kind: str, text: str | None) -> bytes:
        if not text:
            return b""
        told = b"" if kind == self._kind else self._close() + self._open(kind)
        self._text.append(text)
        return told + self._of_part(f"{_PART[kind]}.delta", delta=text)

    def _of_part(self, name: str, **fields: Any) -> bytes:
        if name.startswith("output_text"):
            fields["logprobs"] = []
        at = {"item_id": self._identity, "output_index": len(self._items), "content_index": 0}
        return self._event(name, **at, **fields)

    def _open(self, kind: str) -> bytes:
        self._kind, self._identity, self._text = kind, _identity(kind), []
        empty = item(self._identity, kind, None, "in_progress")
        added = self._event("output_item.added", output_index=len(self._items), item=empty)
        return added + self._of_part("content_part.added", part=_part(kind, ""))

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        kind, text, self._kind = self._kind, "".join(self._text), ""
        done = item(self._identity, kind, text, "incomplete" if self._cut else "completed")
        told = self._of_part(f"{_PART[kind]}.done", text=text)
        told += self._of_part("content_part.done", part=_part(kind, text))
        told += self._event("output_item.done", output_index=len(self._items), item=done)
        self._items.append(done)
        return told

    def _end(self) -> bytes:
        told = self._close()
        self.finished = True
        finish(self._response, self._items, self._usage, cut=self._cut)
        return told + self._event(self._response["status"], response=self._response)
