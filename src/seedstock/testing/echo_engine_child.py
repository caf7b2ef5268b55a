"""The echo engine's child process: OpenAI-shaped HTTP on the standard library alone, so that it starts fast."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from seedstock.run.engines import child_guard
from seedstock.run.engines.base import SERVED_MODEL, Ready
from seedstock.testing.echo_engine import read_behaviour

_SLOW_TOKEN_S = 0.01


class _Server:
    """Counts the answers in progress; `/slots` tells, as llama.cpp does."""

    def __init__(self, api_key: str, context_tokens: int, adapters: list[str]) -> None:
        self._api_key = api_key
        self._adapters = adapters
        self._context_tokens = context_tokens
        self._busy = 0

    async def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method_and_path, *header_lines = head.decode().split("\r\n")
            path = method_and_path.split()[1]
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in header_lines)
            }
            data = await reader.readexactly(int(headers.get("content-length", 0)))
            if path == "/health":
                _send(writer, 200, {"status": "ok"})
            elif headers.get("authorization") != f"Bearer {self._api_key}":
                _send(writer, 401, {"error": {"message": "Invalid API Key", "code": 401}})
            elif path == "/slots":
                _send(writer, 200, {"busy": self._busy})
            else:
                await self._answer(writer, path, json.loads(data))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up: what these tests want to see
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]) -> None:
        is_chat = path.endswith("/chat/completions")
        words = (body["messages"][-1]["content"] if is_chat else body["prompt"]).split()
        if len(words) > self._context_tokens:
            error = {
                "type": "exceed_context_size_error",
                "message": "too long",
                "n_prompt_tokens": len(words),
            }
            _send(writer, 400, {"error": error | {"n_ctx": self._context_tokens}})
            return
        words = [self._adapters[one["id"]] for one in body.get("lora", []) if one["scale"]] + words
        if taken := body.get("adapters", {}).get("use"):
            words = [Path(taken["path"]).read_text().strip(), *words]
        self._busy += 1
        try:
            if body.get("stream"):
                await _stream(writer, words, is_chat=is_chat)
            else:
                _send(writer, 200, _whole(" ".join(words), is_chat=is_chat))
        finally:
            self._busy -= 1


async def _stream(writer: asyncio.StreamWriter, words: list[str], *, is_chat: bool) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for word in words:
        _event(writer, json.dumps(_chunk(word + " ", is_chat=is_chat), separators=(",", ":")))
        await writer.drain()
        if word == "crash":
            os._exit(3)
        while word == "slow":
            await asyncio.sleep(_SLOW_TOKEN_S)
            _event(writer, json.dumps(_chunk("slow ", is_chat=is_chat), separators=(",", ":")))
            await writer.drain()
    _event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")


def _event(writer: asyncio.StreamWriter, data: str) -> None:
    event = f"data: {data}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(event), event))


def _chunk(text: str, *, is_chat: bool) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": None} | (
        {"delta": {"content": text}} if is_chat else {"text": text}
    )
    kind = "chat.completion.chunk" if is_chat else "text_completion"
    return {"id": "echo", "object": kind, "created": 0, "model": SERVED_MODEL, "choices": [choice]}


def _whole(text: str, *, is_chat: bool) -> dict[str, Any]:
    message = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    choice = {"index": 0, "finish_reason": "stop"} | message
    kind = "chat.completion" if is_chat else "text_completion"
    return {"id": "echo", "object": kind, "created": 0, "model": SERVED_MODEL, "choices": [choice]}


def _send(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    data = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + data)


async def _serve(api_key: str, context_tokens: int, adapters: list[str], ready_fd: int) -> None:
    handler = _Server(api_key, context_tokens, adapters)
    server = await asyncio.start_server(handler.on_connection, "127.0.0.1", 0)
    child_guard.announce(ready_fd, Ready(port=server.sockets[0].getsockname()[1]))
    await server.serve_forever()


def main() -> None:
    """Behave as the model file says."""
    model_path, parent_pid, context_tokens, *adapter_paths = sys.argv[1:]
    adapters = [Path(path).read_text() for path in adapter_paths]
    secrets, ready_fd = child_guard.enter(int(parent_pid))
    behaviour = read_behaviour(model_path)
    time.sleep(behaviour.load_s)
    if behaviour.crash_on_load:
        os.abort()
    error = "a bad adapter" if "bad" in adapters else behaviour.load_error
    if error:
        child_guard.announce(ready_fd, Ready(error=error))
        return
    asyncio.run(_serve(secrets.api_key, int(context_tokens), adapters, ready_fd))


if __name__ == "__main__":
    main()
