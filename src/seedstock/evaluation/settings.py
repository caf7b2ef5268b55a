"""How a model is asked: part of what a score means, so all of it is stored beside the score."""

from __future__ import annotations

import msgspec

from seedstock.evaluation.items import sha256_of


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sent with every question, whatever an engine's own defaults are."""

    api: str = "chat/completions"
    """The model's own chat template is used, as an application would."""
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the settings: results under other settings are not ranked together."""
        return sha256_of(self)


class Order(msgspec.Struct, frozen=True):
    """What the process of the library is told on its standard input; never by arguments, for it holds a token."""

    url: str
    token: str
    model: str
    sampling: Sampling
    connections: int
    log_dir: str
