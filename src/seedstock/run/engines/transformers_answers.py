"""Answers in OpenAI's shape, whole or as events, sent while they are written."""

from __future__ import annotations

import secrets
import select
import socket
import time
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.engines.loopback import send_json
from seedstock.run.engines.transformers_calls import joined
from seedstock.run.engines.transformers_choice import Piece
from seedstock.run.engines.transformers_grammar import GrammarFailed
from seedstock.run.engines.transformers_model import Loaded
from seedstock.run.engines.transformers_request import Wanted, read_request
from seedstock.run.engines.transformers_text import write

_ASK_S = 0.5


def answer_text(
    handler: BaseHTTPRequestHandler, loaded: Loaded, body: dict[str, Any], context_tokens: int, writing: Lock
) -> None:
    """Answer a request for text. Raises Invalid before anything is sent, ConnectionError when the caller left."""
    if loaded.pooling is not None:
        raise Invalid("This model makes embeddings and no text")
    wanted = read_request(loaded, body, chat=handler.path == "/v1/chat/completions")
    longest = max(map(len, wanted.prompts))
    if longest >= context_tokens:
        raise Invalid(
            f"This model's context holds {context_tokens} tokens, and the request has {longest}",
            hint="shorten the messages",
        )
    known = loaded.model.config.get_text_config().vocab_size
    if any(not 0 <= token < known for ids in wanted.prompts for token in ids):
        raise Invalid("'prompt' holds numbers that are no tokens of this model")
    if min(map(len, wanted.prompts)) == 0:
        raise Invalid("'prompt' has no tokens")
    answer = _Events(handler, wanted) if body.get("stream") else _Whole(handler, wanted)
    while not writing.acquire(timeout=_ASK_S):
        if answer.gone():
            raise ConnectionAbortedError
    try:
        loaded.adapters.apply(wanted.adapters)
        written = 0
        for number, prompt in enumerate(wanted.prompts):
            room = context_tokens - len(prompt)
            most = min(wanted.max_tokens or room, room)
            written += write(loaded, wanted, prompt, number * wanted.choices, most, answer.tell, answer.gone)
    except GrammarFailed as error:
        answer.fail(400, f"The answer could not be held to its schema or grammar: {error}")
        return
    except RuntimeError as error:  # torch's, such as for want of memory
        answer.fail(500, f"The model failed: {str(error).splitlines()[0][:300]}")
        return
    finally:
        writing.release()
    asked = sum(map(len, wanted.prompts))
    answer.finish({"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written,
                   "prompt_tokens_details": {"cached_tokens": 0}})  # fmt: skip


class _Answer:
    """What both kinds share: the caller's line, and the names in every part of an answer."""

    def __init__(self, handler: BaseHTTPRequestHandler, wanted: Wanted) -> None:
        self._handler = handler
        self._wanted = wanted
        self._left = False
        prefix = "chatcmpl" if wanted.chat else "cmpl"
        self._names = {
            "id": f"{prefix}-{secrets.token_urlsafe(18)}",
            "created": int(time.time()),
            "model": SERVED_MODEL,
        }

    def gone(self) -> bool:
        """Whether the caller hung up."""
        if not self._left:
            line = self._handler.connection
            readable, _, _ = select.select([line], [], [], 0)
            try:
                self._left = bool(readable) and line.recv(1, socket.MSG_PEEK) == b""
            except OSError:
                self._left = True
        return self._left


class _Whole(_Answer):
    """An answer in one piece."""

    def __init__(self, handler: BaseHTTPRequestHandler, wanted: Wanted) -> None:
        super().__init__(handler, wanted)
        count = len(wanted.prompts) * wanted.choices
        self._pieces: list[list[Piece]] = [[] for _ in range(count)]

    def tell(self, piece: Piece) -> None:
        """Keep a piece."""
        self._pieces[piece.index].append(piece)

    def fail(self, status: int, message: str) -> None:
        """Say that there is no answer."""
        send_json(self._handler, status, {"error": {"message": message, "code": status}})

    def finish(self, usage: dict[str, Any]) -> None:
        """Send it."""
        if self.gone():
            return
        kind = "chat.completion" if self._wanted.chat else "text_completion"
        choices = [self._choice(index, pieces) for index, pieces in enumerate(self._pieces)]
        send_json(self._handler, 200, self._names | {"object": kind, "choices": choices, "usage": usage})

    def _choice(self, index: int, pieces: list[Piece]) -> dict[str, Any]:
        text, thought = "".join(one.text for one in pieces), "".join(one.thought for one in pieces)
        logprobs = [entry for one in pieces for entry in one.logprobs]
        choice: dict[str, Any] = {"index": index, "finish_reason": pieces[-1].finish, "logprobs": None}
        if self._wanted.logprobs is not None:
            choice["logprobs"] = {"content": logprobs}
        if not self._wanted.chat:
            return choice | {"text": text}
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thought:
            message["reasoning_content"] = thought
        if calls := joined(delta for one in pieces for delta in one.calls):
            message |= {"content": text or None, "tool_calls": calls}
        return choice | {"message": message}


class _Events(_Answer):
    """An answer as server-sent events."""

    def __init__(self, handler: BaseHTTPRequestHandler, wanted: Wanted) -> None:
        super().__init__(handler, wanted)
        self._begun = False

    def tell(self, piece: Piece) -> None:
        """Send a piece."""
        if self._wanted.chat:
            said = {"content": piece.text, "reasoning_content": piece.thought, "tool_calls": piece.calls}
            choice: dict[str, Any] = {"delta": {name: value for name, value in said.items() if value}}
        else:
            choice = {"text": piece.text}
        choice |= {"index": piece.index, "finish_reason": piece.finish}
        if piece.logprobs:
            choice["logprobs"] = {"content": piece.logprobs}
        self._event({"choices": [choice]})

    def fail(self, status: int, message: str) -> None:
        """End with an error."""
        self._write(b'data: {"error":' + msgspec.json.encode({"message": message, "code": status}) + b"}\n\n")
        self._end()

    def finish(self, usage: dict[str, Any]) -> None:
        """End it."""
        if self._wanted.usage_in_stream:
            self._event({"choices": [], "usage": usage})
        elif self._wanted.tells_prompt:
            self._event({"choices": [], "usage": usage} | self._progress())
        self._write(b"data: [DONE]\n\n")
        self._end()

    def _progress(self) -> dict[str, Any]:
        """As llama.cpp tells of a prompt; the hub takes such events out."""
        return {"prompt_progress": {"total": sum(map(len, self._wanted.prompts)), "cache": 0}}

    def _event(self, part: dict[str, Any]) -> None:
        kind = "chat.completion.chunk" if self._wanted.chat else "text_completion"
        # `choices` first, as llama.cpp has it.
        self._write(b"data: " + msgspec.json.encode(part | self._names | {"object": kind}) + b"\n\n")

    def _write(self, event: bytes) -> None:
        """Send an event; who hung up gets nothing, and `gone` then ends the writing."""
        if self.gone():
            return
        try:
            if not self._begun:
                self._begin()
            self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        except OSError:
            self._left = True

    def _begin(self) -> None:
        self._begun = True
        self._handler.protocol_version = "HTTP/1.1"
        self._handler.close_connection = True
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "text/event-stream")
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()
        if self._wanted.tells_prompt:
            self._event({"choices": []} | self._progress())
        if self._wanted.chat:
            for index in range(len(self._wanted.prompts) * self._wanted.choices):
                delta = {"role": "assistant", "content": None}
                self._event({"choices": [{"index": index, "delta": delta, "finish_reason": None}]})

    def _end(self) -> None:
        if not self._left:
            self._handler.wfile.write(b"0\r\n\r\n")
