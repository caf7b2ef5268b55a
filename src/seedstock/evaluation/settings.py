"""How a model is asked: part of what a score means, so all of it is stored beside the score."""

from __future__ import annotations

import msgspec

from seedstock.evaluation.items import sha256_of


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sent with every question, whatever an engine's own defaults are."""

    api: str = "chat/completions"
    """The model's own chat template is used, as an application would."""
    max_tokens: int
    temperature: float | None = 0.0
    """None, here and below: left out, so that the model's own holds."""
    top_p: float | None = 1.0
    seed: int | None = 0

    @classmethod
    def own(cls, max_tokens: int) -> Sampling:
        """The model's own, for models that take no other."""
        return cls(max_tokens=max_tokens, temperature=None, top_p=None, seed=None)

    @property
    def parameters(self) -> dict[str, float]:
        """As they are sent. What takes no temperature knows the limit under its newer name alone."""
        limit = "max_tokens" if self.temperature is not None else "max_completion_tokens"
        found = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        return {limit: self.max_tokens} | {name: one for name, one in found.items() if one is not None}

    def without_effect(self) -> Sampling:
        """The same as few APIs refuse it: with the likeliest token always, neither `top_p` nor a seed changes anything."""
        return msgspec.structs.replace(self, top_p=None, seed=None) if self.temperature == 0 else self

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
