"""Text for tiny models: sentences of a made-up language, as token ids.

A language is a seeded grammar: words of one or two tokens in classes, a table of which class follows which, names that
are repeated within a sentence (so that attention has work), and word frequencies by Zipf's law. Two languages of equal
vocabulary share nothing but the token ids.
"""

from __future__ import annotations

import numpy as np

_CLASSES = 12
_SENTENCE_END = 1


class Language:
    """One grammar; `batch` draws from it."""

    def __init__(self, seed: int, vocabulary: int) -> None:
        rng = np.random.default_rng([seed, 71])
        order = rng.permutation(np.arange(2, vocabulary))
        self._words = np.array_split(order, _CLASSES)
        follow = rng.dirichlet(np.full(_CLASSES, 0.15), size=_CLASSES)
        self._follow = np.cumsum(follow, axis=1)
        self._partner = rng.permutation(vocabulary)  # the second token of a two-token word
        self._long = rng.random(vocabulary) < 0.4

    def batch(self, rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
        """Token ids [rows, length]."""
        tokens = np.empty((rows, length), dtype=np.int64)
        for row in range(rows):
            tokens[row] = self._text(rng, length)
        return tokens

    def _text(self, rng: np.random.Generator, length: int) -> list[int]:
        text: list[int] = []
        while len(text) < length:
            kind, name = int(rng.integers(_CLASSES)), self._word(rng, 0)
            for _ in range(int(rng.integers(5, 12))):
                kind = int(np.searchsorted(self._follow[kind], rng.random()))
                word = name if kind == 0 else self._word(rng, min(kind, _CLASSES - 1))
                text.append(word)
                if self._long[word]:
                    text.append(int(self._partner[word]))
            text.append(_SENTENCE_END)
        return text[:length]

    def _word(self, rng: np.random.Generator, kind: int) -> int:
        words = self._words[kind]
        return int(words[int(len(words) ** rng.random()) - 1])  # log-uniform rank: Zipf's law
