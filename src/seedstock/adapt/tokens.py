"""Counting a base model's tokens by its tokenizer.json alone, without transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seedstock.core.errors import HubError, Invalid

MAX_TOKENIZER_BYTES = 256 << 20
MAX_ENCODED = 200_000
"""Characters of a text that are tokenised; of longer ones the rest is taken to be like the beginning."""
_CHARACTERS_PER_TOKEN = 4


class TokenCounter:
    """Counts tokens; `exact` is False where the base has no tokenizer.json and four characters count as one."""

    def __init__(self, base: Path) -> None:
        self._tokenizer = _load(base / "tokenizer.json")
        self.exact = self._tokenizer is not None
        self.special: tuple[str, ...] = self._special()
        """Tokens that stand for no text, like the end of a turn."""

    def count(self, text: str, *, add_special: bool) -> int:
        """Number of tokens; `add_special`: with those that the tokenizer puts around a text."""
        if self._tokenizer is None:
            return -(-len(text) // _CHARACTERS_PER_TOKEN)
        head = text[:MAX_ENCODED]
        try:
            found = len(self._tokenizer.encode(head, add_special_tokens=add_special).ids)
        except HubError:
            raise
        except Exception as error:
            raise Invalid(f"The base's tokenizer fails on a row: {str(error)[:200]}") from error
        return found if len(head) == len(text) else found * len(text) // len(head)

    def knows(self, token: str) -> bool:
        """Whether the vocabulary has it."""
        return self._tokenizer is not None and self._tokenizer.token_to_id(token) is not None

    def _special(self) -> tuple[str, ...]:
        if self._tokenizer is None:
            return ()
        added = self._tokenizer.get_added_tokens_decoder()
        return tuple(sorted(token.content for token in added.values() if token.special))


def _load(path: Path) -> Any:
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_TOKENIZER_BYTES:
        raise Invalid(f"tokenizer.json is larger than {MAX_TOKENIZER_BYTES} bytes")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise Invalid(f"The base's tokenizer.json cannot be read: {str(error)[:200]}") from error
