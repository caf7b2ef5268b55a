"""One answer while it is written: tokens to pieces of text, thoughts and log-probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from tokenizers.decoders import DecodeStream

from seedstock.run.engines.transformers_model import Loaded
from seedstock.run.engines.transformers_pieces import Stops, Thoughts
from seedstock.run.engines.transformers_request import Wanted


class Piece(msgspec.Struct, frozen=True):
    """What one choice gained, or how it ended."""

    index: int
    text: str = ""
    thought: str = ""
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
        self._stops = Stops(wanted.stops)
        self._thoughts = Thoughts(begun=wanted.thought_begun) if wanted.thinks else None
        self._logprobs: list[dict[str, Any]] = []
        self._tell = tell

    def take(self, token: int, logprob: dict[str, Any] | None) -> None:
        """The next token."""
        self.tokens += 1
        if logprob is not None:
            self._logprobs.append(logprob)
        self._say(self._stops.feed(self._decoded.step(self._tokenizer, token) or ""))
        if self._stops.stopped:
            self.end("stop")

    def end(self, finish: str) -> None:
        """Nothing more comes."""
        self.done = True
        self._say(self._stops.end(), last=True)
        self._tell(Piece(self._index, logprobs=self._taken(), finish=finish))

    def _say(self, text: str, *, last: bool = False) -> None:
        if self._thoughts is None:
            pieces = [(False, text)] if text else []
        else:
            pieces = list(self._thoughts.feed(text, last=last))
        for thought, piece in pieces:
            self._tell(
                Piece(
                    self._index,
                    text="" if thought else piece,
                    thought=piece if thought else "",
                    logprobs=self._taken(),
                )
            )

    def _taken(self) -> list[dict[str, Any]]:
        taken, self._logprobs = self._logprobs, []
        return taken
