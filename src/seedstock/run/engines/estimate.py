"""What a model needs of memory with any engine, and the contexts that are tried for it."""

from __future__ import annotations

import msgspec

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.base import Ability

MAX_DEFAULT_CONTEXT_TOKENS = 8192
MIN_SHRUNK_CONTEXT_TOKENS = 2048


class Estimate(msgspec.Struct, frozen=True):
    """What a model needs with `slots` requests of `context_tokens` each at a time."""

    weights_bytes: int
    cache_bytes: int
    """Keys and values of all slots' full contexts, and recurrent state."""
    other_bytes: int
    slots: int
    context_tokens: int
    abilities: tuple[Ability, ...]
    micro_batch_tokens: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.cache_bytes + self.other_bytes

    def check(self, limit_bytes: int) -> None:
        """Raise ModelNotRunnable, with numbers, for more than the limit."""
        if self.total_bytes > limit_bytes:
            raise ModelNotRunnable(
                f"This model needs about {self.total_bytes / 1e9:.1f} GB of memory with {self.context_tokens} tokens of"
                f" context; this hub gives engines {limit_bytes / 1e9:.1f} GB",
                hint="use a smaller quantisation, or raise the engine memory limit",
            )


def contexts(trained: int, asked: int | None) -> list[int]:
    """Tokens of context to try, longest first: what is asked for and no other, else halves down to 2048."""
    if asked is not None:
        return [min(trained, asked)]
    found = [min(trained, MAX_DEFAULT_CONTEXT_TOKENS)]
    while found[-1] // 2 >= MIN_SHRUNK_CONTEXT_TOKENS:
        found.append(found[-1] // 2)
    return found
