"""One answer while it is written: tokens to pieces of text, thoughts and log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from tokenizers.decoders import DecodeStream

from seedstock.run.engines.transformers_calls import CLOSE, OPEN, Calls, Delta
from seedstock.run.engines.transformers_model import Loaded
from seedstock.run.engines.transformers_pieces import Stops, Thoughts
from seedstock.run.engines.transformers_request import Wanted


class Piece(msgspec.Struct, frozen=True):
    """What one choice gained, or how it ended."""

    index: int
    text: str = ""
    thought: str = ""
    calls: list[Delta] = []
    logprobs: list[dict[str, Any]] = []
    finish: str | None = None


Tell = Callable[[Piece], None]


class Choice:
    """One answer while it is written."""

    def __init__(self, index: int, loaded: Loaded, wanted: Wanted, tell: Tell) -> None:
        self.tokens = 0
        self.done = False
        self._index = index
        self._tokenizer = loaded.tokenizer.backend_tokenizer
        self._decoded = DecodeStream(skip_special_tokens=True)
        self._marks = _special(loaded.tokenizer, [OPEN, CLOSE]) if wanted.tools else {}
        self._stops = Stops(wanted.stops)
        self._thoughts = Thoughts(begun=wanted.thought_begun) if wanted.thinks else None
        self._calls = Calls(wanted.tools, parallel=wanted.parallel_calls) if wanted.tools else None
        self._logprobs: list[dict[str, Any]] = []
        self._tell = tell

    def take(self, token: int, logprob: dict[str, Any] | None) -> None:
        """The next token."""
        self.tokens += 1
        if logprob is not None:
            self._logprobs.append(logprob)
        text = self._marks.get(token) or self._decoded.step(self._tokenizer, token) or ""
        self._say(self._stops.feed(text))
        if self._stops.stopped or (self._calls is not None and self._calls.over):
            self.end("stop")

    def end(self, finish: str) -> None:
        """Nothing more comes."""
        self.done = True
        self._say(self._stops.end(), last=True)
        if self._calls is not None and self._calls.number and finish == "stop":
            finish = "tool_calls"
        self._tell(Piece(self._index, logprobs=self._taken(), finish=finish))

    def _say(self, text: str, *, last: bool = False) -> None:
        for thought, piece in self._parts(text, last=last):
            if thought:
                self._tell(Piece(self._index, thought=piece, logprobs=self._taken()))
            elif self._calls is None:
                self._tell(Piece(self._index, piece, logprobs=self._taken()))
            else:
                self._tell_apart(self._calls.feed(piece))
        if last and self._calls is not None:
            self._tell_apart(self._calls.feed("", last=True))

    def _parts(self, text: str, *, last: bool) -> Iterator[tuple[bool, str]]:
        """Pieces of a text, each with whether it is a thought."""
        if self._thoughts is not None:
            yield from self._thoughts.feed(text, last=last)
        elif text:
            yield False, text

    def _tell_apart(self, parts: Iterator[str | Delta]) -> None:
        for part in parts:
            said = {"text": part} if isinstance(part, str) else {"calls": [part]}
            self._tell(Piece(self._index, logprobs=self._taken(), **said))

    def _taken(self) -> list[dict[str, Any]]:
        taken, self._logprobs = self._logprobs, []
        return taken


def _special(tokenizer: Any, marks: list[str]) -> dict[int, str]:
    """Those marks that are special tokens of the model, which are left out of its text."""
    added = tokenizer.added_tokens_decoder.items()
    return {number: token.content for number, token in added if token.special and token.content in marks}
