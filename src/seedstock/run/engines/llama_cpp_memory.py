"""How much memory llama.cpp needs for a model, from the header alone.

An upper bound rather than a forecast: the whole file (mapped, or copied when weights are repacked), plus an f16
key-value cache for every slot's full context with every layer treated as full attention, plus the logits of one
micro-batch, plus a fixed slack for the process and its scratch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seedstock.core.errors import ModelNotRunnable, UnsupportedFormat
from seedstock.metadata.gguf_types import ENCODERS
from seedstock.run.engines.base import Ability
from seedstock.run.engines.estimate import Estimate, contexts

Value = int | float | bool | str | Sequence[int | float | bool | str]

MICRO_BATCH_TOKENS = 512
SLACK_BYTES = 160 << 20  # interpreter + library 90 MB, scratch buffers of small models 20-60 MB (measured)
MAX_POOLED_TOKENS = 2048
"""The longest text that is embedded in one piece, which most ways of pooling need; more takes much scratch memory."""
_F16_BYTES = 2
_MAX_LAYERS = 65_536
_LAST = 3
_POOLINGS = frozenset({1, 2, _LAST})  # mean, of the first token, of the last; 4 ranks pairs of texts
_NO_TEXT = frozenset({"t5encoder", "clip", "wavtokenizer-dec"})


def estimate(
    header: Mapping[str, Value], weights_bytes: int, limit_bytes: int, asked_tokens: int | None, slots: int
) -> Estimate:
    """The largest of a few shapes that fits the limit, else the smallest: slots are halved first, then the context to 2048.

    A context that is asked for is never shrunk, only limited to what the model was trained for.
    Raises ModelNotRunnable for what is no model of text, UnsupportedFormat.
    """
    shape = _Shape(header)
    found = [
        shape.estimate(weights_bytes, count, context)
        for context in contexts(shape.context_tokens, asked_tokens)
        for count in _halvings(slots)
    ]
    return next((one for one in found if one.total_bytes <= limit_bytes), found[-1])


def _halvings(count: int) -> list[int]:
    return [count >> shift for shift in range(count.bit_length())]


class _Shape:
    """What the estimate needs from a GGUF header."""

    def __init__(self, header: Mapping[str, Value]) -> None:
        self._header = header
        self._architecture = str(header.get("general.architecture", ""))
        kind = header.get("general.type", "model")
        if not self._architecture or kind != "model" or self._architecture in _NO_TEXT:
            raise ModelNotRunnable(
                f"This GGUF file holds no model of text ({kind} {self._architecture})".rstrip()
            )
        self._encodes = self._architecture in ENCODERS
        pooling = self._number("pooling_type", 0)
        self._pooled = self._encodes or pooling in _POOLINGS
        self._whole = self._encodes or (self._pooled and pooling != _LAST)
        trained = self._number("context_length", 0)
        self.context_tokens = min(trained, MAX_POOLED_TOKENS) if self._encodes else trained
        self._layers = self._number("block_count", 0)
        self._width = self._number("embedding_length", 0)
        if min(self.context_tokens, self._layers, self._width) < 1:
            raise UnsupportedFormat(
                "Damaged GGUF header: context_length, block_count or embedding_length is missing"
            )
        if self._layers > _MAX_LAYERS:
            raise UnsupportedFormat(f"Damaged GGUF header: {self._layers} layers, more than {_MAX_LAYERS}")

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """Encoders make no text; decoders make embeddings if the file says how to pool."""
        if self._encodes:
            return (Ability.EMBEDDINGS,)
        return (Ability.GENERATION, Ability.EMBEDDINGS) if self._pooled else (Ability.GENERATION,)

    @property
    def micro_batch_tokens(self) -> int:
        """How many tokens are computed at a time: all of a text, where pooling needs them together."""
        return min(self.context_tokens, MAX_POOLED_TOKENS) if self._whole else MICRO_BATCH_TOKENS

    def estimate(self, weights_bytes: int, slots: int, context_tokens: int) -> Estimate:
        """What that many requests of that many tokens each need."""
        heads = max(self._per_layer("attention.head_count"))
        attention_bytes = heads * self.micro_batch_tokens**2 * 4 if self._whole else 0
        logits_bytes = (
            0 if self._encodes else self._number("vocab_size", 1 << 18) * self.micro_batch_tokens * 4
        )
        return Estimate(
            weights_bytes,
            self._cell_bytes() * slots * context_tokens + self._state_bytes(),
            attention_bytes + logits_bytes + SLACK_BYTES,
            slots,
            context_tokens,
            self.abilities,
            self.micro_batch_tokens,
        )

    def _cell_bytes(self) -> int:
        """Bytes of keys and values per token, all layers."""
        heads = max(self._per_layer("attention.head_count")) or 1
        kv_heads = self._per_layer("attention.head_count_kv", "attention.head_count")
        head_width = self._width // heads
        key = self._number("attention.key_length", head_width)
        value = self._number("attention.value_length", head_width)
        return sum(kv_heads) * (key + value) * _F16_BYTES

    def _state_bytes(self) -> int:
        """Recurrent state per sequence of Mamba-like layers, f32, for up to 8 sequences."""
        inner, state = self._number("ssm.inner_size", 0), self._number("ssm.state_size", 0)
        return inner * (state + 4) * 4 * self._layers * 8

    def _per_layer(self, *names: str) -> list[int]:
        for name in names:
            value = self._header.get(f"{self._architecture}.{name}")
            if isinstance(value, list | tuple):
                numbers = [max(0, int(item)) for item in value if isinstance(item, int)]
                if numbers:
                    return numbers
            if isinstance(value, int):
                return [max(0, value)] * self._layers
        return [0] * self._layers

    def _number(self, name: str, default: int) -> int:
        value = self._header.get(f"{self._architecture}.{name}", default)
        return max(0, int(value)) if isinstance(value, int) else default
