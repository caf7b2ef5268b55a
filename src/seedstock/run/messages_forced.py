"""A forced call of a tool in Anthropic's API: asked of the engine as a chat, since its own endpoint cannot.

Only such requests are translated. In a stream the call comes at the end, in one piece.
"""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import EngineFailed, Invalid
from seedstock.run.messages_answers import PING, MessagesAnswers, event, message_id
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.request import EngineRequest
from seedstock.run.request_checks import Body
from seedstock.run.responses_answers import Chunk
from seedstock.run.tool_choice import ForcedCallAnswers

_SAME = ("stream", "temperature", "top_p", "top_k", "max_tokens")
_REASONS = {"tool_calls": "tool_use", "length": "max_tokens"}


def forced_choice(choice: object) -> object:
    """The choice in OpenAI's words, or None if the model may choose. Raises Invalid."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if choice is None or kind in ("auto", "none"):
        return None
    if kind == "any":
        return "required"
    if isinstance(choice, dict) and kind == "tool":
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise Invalid("'tool_choice.type' must be one of auto, any, tool, none")


def forced_request(model: str, body: dict[str, Any], choice: object) -> EngineRequest:
    """A request whose messages and tools have been checked, as a chat. Raises Invalid."""
    for name in ("stop_sequences", "thinking"):
        if body.get(name):
            raise Invalid(f"{name!r} cannot be used together with a forced 'tool_choice'")
    system = [{"role": "system", "content": _text(body["system"])}] if body.get("system") else []
    turns = [turn for message in body["messages"] for turn in _turns(message)]
    chat = {name: body[name] for name in _SAME if name in body} | {
        "model": model,
        "messages": system + turns,
        "tools": [_tool(tool) for tool in body.get("tools", [])],
        "tool_choice": choice,
    }
    if body.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    request = parse_openai_request(Kind.CHAT, msgspec.json.encode(chat))
    return msgspec.structs.replace(request, answers=ForcedMessageAnswers(model))


def _text(content: object) -> str:
    """A text, or the texts of blocks."""
    if isinstance(content, list):
        return "".join(block["text"] for block in content if block["type"] == "text")
    return str(content or "")


def _turns(message: dict[str, Any]) -> list[Body]:
    """A message as those of a chat, in which each result of a tool is a message of its own."""
    content, text = message["content"], _text(message["content"])
    blocks = content if isinstance(content, list) else []
    if message["role"] == "user":
        results: list[Body] = [
            {"role": "tool", "tool_call_id": block["tool_use_id"], "content": _text(block.get("content"))}
            for block in blocks
            if block["type"] == "tool_result"
        ]
        return results + ([{"role": "user", "content": text}] if text or not results else [])
    turn: Body = {"role": "assistant", "content": text}
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    thoughts = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    return [
        turn
        | ({"tool_calls": calls} if calls else {})
        | ({"reasoning_content": thoughts} if thoughts else {})
    ]


def _call(block: dict[str, Any]) -> Body:
    arguments = msgspec.json.encode(block["input"]).decode()
    function = {"name": block["name"], "arguments": arguments}
    return {"id": block["id"], "type": "function", "function": function}


def _tool(tool: dict[str, Any]) -> Body:
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if "description" in tool:
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


class ForcedMessageAnswers(MessagesAnswers):
    """Messages that are calls, out of chats that are."""

    def whole(self, answer: bytes) -> bytes:
        """The message."""
        return msgspec.json.encode(self.message(answer))

    def message(self, answer: bytes) -> dict[str, Any]:
        """The message for a completion whose content is a call."""
        chat = msgspec.json.decode(ForcedCallAnswers(self._model).whole(answer), type=dict[str, Any])
        (choice,) = chat["choices"]
        usage = chat.get("usage") or {}
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        return {
            "id": message_id(chat.get("id", "")),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": _content(choice["message"]),
            "stop_reason": _REASONS.get(choice["finish_reason"], "end_turn"),
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.get("prompt_tokens", 0) - cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": cached,
                "output_tokens": usage.get("completion_tokens", 0),
            },
        }

    def events(self) -> ForcedMessageEvents:
        """A fresh stream."""
        return ForcedMessageEvents(self)


def _content(message: dict[str, Any]) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        content.append({"type": "thinking", "thinking": message["reasoning_content"], "signature": ""})
    if message.get("content"):
        content.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls", []):
        function = call["function"]
        value = msgspec.json.decode(function["arguments"])
        content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": value})
    return content


class ForcedMessageEvents:
    """A stream that waits for the end of the engine's, and then says everything."""

    def __init__(self, answers: ForcedMessageAnswers) -> None:
        self.finished = False
        self._answers = answers
        self._said = {"content": "", "reasoning_content": ""}
        self._reason: str | None = None
        self._usage: dict[str, Any] | None = None

    def feed(self, events: bytes) -> bytes:
        """Nothing, or all events of the message; comments pass, as they keep the stream alive."""
        return b"".join(self._told(whole) for whole in events.split(b"\n\n") if whole)

    def _told(self, whole: bytes) -> bytes:
        if not whole.startswith(b"data: "):
            return whole + b"\n\n"
        if whole == b"data: [DONE]":
            self.finished = True
            return self._message()
        chunk = msgspec.json.decode(whole[6:], type=Chunk)
        if chunk.error is not None:
            self.finished = True
            return self._answers.error_event(EngineFailed(chunk.error.message))
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            self._said["content"] += choice.delta.content or ""
            self._said["reasoning_content"] += choice.delta.reasoning_content or ""
            self._reason = choice.finish_reason or self._reason
        return b""

    def _message(self) -> bytes:
        choice = {"message": self._said, "finish_reason": self._reason}
        message = self._answers.message(msgspec.json.encode({"choices": [choice], "usage": self._usage}))
        blocks, reason = message["content"], message["stop_reason"]
        begun = message | {
            "content": [],
            "stop_reason": None,
            "usage": message["usage"] | {"output_tokens": 0},
        }
        told = event({"type": "message_start", "message": begun})
        for index, block in enumerate(blocks):
            told += _block_events(index, block)
        delta = {"stop_reason": reason, "stop_sequence": None}
        usage = {"output_tokens": message["usage"]["output_tokens"]}
        told += event({"type": "message_delta", "delta": delta, "usage": usage})
        return told + event({"type": "message_stop"})


def _block_events(index: int, block: dict[str, Any]) -> bytes:
    """A block in one piece: its beginning, one delta, its end."""
    if block["type"] == "tool_use":
        empty: dict[str, Any] = {"input": {}}
        delta = {"type": "input_json_delta", "partial_json": msgspec.json.encode(block["input"]).decode()}
    else:
        kind = block["type"]
        empty = {kind: ""}
        delta = {"type": f"{kind}_delta", kind: block[kind]}
    told = event({"type": "content_block_start", "index": index, "content_block": block | empty})
    told += b"" if index else PING
    told += event({"type": "content_block_delta", "index": index, "delta": delta})
    return told + event({"type": "content_block_stop", "index": index})
