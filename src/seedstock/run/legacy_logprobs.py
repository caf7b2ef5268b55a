"""Log-probabilities in the shape of OpenAI's old completions, out of the chat shape that llama.cpp uses for both."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.run.openai_answers import OpenAiAnswers, OpenAiEvents


class LegacyLogprobAnswers(OpenAiAnswers):
    """Completions whose log-probabilities are four lists."""

    def whole(self, answer: bytes) -> bytes:
        """The completion."""
        data = msgspec.json.decode(super().whole(answer), type=dict[str, Any])
        _translate(data, {})
        return msgspec.json.encode(data)

    def events(self) -> LegacyLogprobEvents:
        """A fresh stream."""
        return LegacyLogprobEvents(self._named)


class LegacyLogprobEvents(OpenAiEvents):
    """A stream of completions."""

    def __init__(self, named: bytes) -> None:
        super().__init__(named)
        self._offsets: dict[int, int] = {}

    def feed(self, events: bytes) -> bytes:
        """The events, translated."""
        return b"".join(self._told(whole) for whole in super().feed(events).split(b"\n\n") if whole)

    def _told(self, whole: bytes) -> bytes:
        if not whole.startswith(b'data: {"choices":[{'):
            return whole + b"\n\n"
        data = msgspec.json.decode(whole[6:], type=dict[str, Any])
        _translate(data, self._offsets)
        return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _translate(data: dict[str, Any], offsets: dict[int, int]) -> None:
    """Rewrite the choices of an answer; `offsets` is how many characters each has had so far."""
    for choice in data["choices"]:
        if "content" not in (choice.get("logprobs") or {}):  # none, or in that shape already
            continue
        tokens = choice["logprobs"]["content"]
        places = []
        offset = offsets.get(choice["index"], 0)
        for token in tokens:
            places.append(offset)
            offset += len(token["token"])
        offsets[choice["index"]] = offset
        choice["logprobs"] = {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {one["token"]: one["logprob"] for one in token["top_logprobs"]} for token in tokens
            ],
            "text_offset": places,
        }
