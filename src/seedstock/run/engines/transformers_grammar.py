"""Answers held to a schema or a grammar: only tokens that it allows next are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np
import torch
from tokenizers.decoders import DecodeStream
from transformers import LogitsProcessor

from seedstock.core.errors import Invalid
from seedstock.run.engines.grammar_check import MAX_LEXER_STATES, Asked, check
from seedstock.run.engines.transformers_pieces import CLOSE

_REMEMBERED = 32
_NO_TOKENS = "This model's tokenizer cannot be held to a schema or grammar"


def read_grammar(body: dict[str, Any]) -> str | None:
    """What a request wants its answers held to, as llguidance takes it. Raises Invalid."""
    wanted, gbnf = body.get("response_format") or {}, body.get("grammar")
    if wanted.get("type") in {None, "text"}:
        return _checked(gbnf=gbnf) if gbnf else None
    if gbnf:
        raise Invalid("'grammar' cannot be used together with 'response_format'")
    named = wanted["json_schema"]["schema"] if wanted["type"] == "json_schema" else {"type": "object"}
    # llguidance's own settings are ours to make.
    schema = {key: value for key, value in named.items() if key != "x-guidance"}
    return _checked(schema=msgspec.json.encode(schema).decode())


@lru_cache(_REMEMBERED)
def _checked(*, schema: str = "", gbnf: str = "") -> str:
    if find_spec("llguidance") is None:
        raise Invalid(
            "Schemas and grammars need llguidance, which this hub lacks: pip install 'seedstock[adapt]'"
        )
    return check(Asked(schema, gbnf), "'grammar'" if gbnf else "'response_format'")


class Grammars:
    """One model's tokens, as grammars know them; read when they are first needed."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._known: Any = None

    def hold(self, grammar: str, ends: set[int], rows: int, *, thinks: bool) -> Held:
        """Hold so many answers; with `thinks` from the end of the thought on that they begin in. Raises Invalid."""
        from llguidance import LLMatcher, LLParserLimits

        if not ends:
            raise Invalid(f"{_NO_TOKENS}: it names none that ends an answer")
        if self._known is None:
            self._known = self._read(sorted(ends))
        limits = LLParserLimits(max_lexer_states=MAX_LEXER_STATES)
        matchers = [LLMatcher(self._known, grammar, log_level=0, limits=limits) for _ in range(rows)]
        if failed := matchers[0].get_error():
            raise Invalid(f"{_NO_TOKENS}: {' '.join(failed.split())[:300]}")
        decoder = self._tokenizer.backend_tokenizer if thinks else None
        return Held([_Row(matcher, self._vocabulary, ends, decoder) for matcher in matchers])

    def _read(self, ends: list[int]) -> Any:
        from llguidance import LLTokenizer

        try:
            told = self._tokenizer.backend_tokenizer.to_str()
            return LLTokenizer(told, n_vocab=self._vocabulary, eos_token=ends)
        except ValueError as error:
            raise Invalid(f"{_NO_TOKENS}: {' '.join(str(error).split())[:300]}") from None


class GrammarFailed(RuntimeError):
    """A grammar turned out to be too complicated while an answer was written."""


class _Row:
    """One answer that is held."""

    def __init__(self, matcher: Any, vocabulary: int, ends: set[int], thinker: Any) -> None:
        self.over = False
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._ends = sorted(ends)
        self._thinker = thinker
        self._decoded = DecodeStream(skip_special_tokens=False)
        self._thought = ""

    def allowed(self) -> Any:
        """A truth for each token: whether it may come next."""
        if self._thinker is not None:
            found = np.ones(self._vocabulary, dtype=bool)
            found[self._ends] = False  # of an answer that has not begun
            return found
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        found = np.unpackbits(bits, bitorder="little")[: self._vocabulary].astype(bool)
        found[self._ends] = found[self._ends].any()
        if not found.any():
            raise GrammarFailed("no token of this model can come next")
        return found

    def take(self, token: int) -> None:
        """A token was drawn."""
        if self._thinker is not None:
            self._thought = self._thought[-len(CLOSE) :] + (self._decoded.step(self._thinker, token) or "")
            if CLOSE in self._thought:
                self._thinker = None
        elif token in self._ends:
            self.over = True
        elif not self.over:
            self._matcher.consume_token(token)
            self._check()
            self.over = self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarFailed(self._matcher.get_error().splitlines()[0][:300])


class Held(LogitsProcessor):
    """Takes from a step all tokens that may not come next."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - the library's interface
        """The scores that are left."""
        scores = scores.clone()
        for number, row in enumerate(self._rows):
            if not row.over:
                allowed = torch.from_numpy(row.allowed()).to(scores.device)
                scores[number, ~allowed] = float("-inf")
        return scores

    def take(self, drawn: Sequence[int]) -> list[bool]:
        """One token was drawn for each answer; which of them have nothing more to say."""
        for row, token in zip(self._rows, drawn, strict=True):
            row.take(token)
        return [row.over for row in self._rows]
