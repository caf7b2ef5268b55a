"""Sampling completions in batches, for rewards, rejection sampling and distillation.

transformers' `generate` spends most of its time, on small models, on rows that have ended and on copying its cache.
Here each distinct prompt is read once, rows leave the batch as they end, and the cache is written in place. Measured
with 192 rows of up to 80 tokens on 110k weights (one thread): 0.30 s with `generate`, 0.23 s here when no row ends
early. Architectures with another kind of cache go through `generate`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec
import torch
from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer

from seedstock.adapt.train.heldout import Evaluating

_LEAVE_AT = 8  # rows leave the batch once an eighth of it has ended


class Decoding(msgspec.Struct, frozen=True):
    """How tokens are chosen."""

    max_new_tokens: int
    temperature: float = 1.0
    """0: the likeliest token."""
    top_p: float = 1.0
    ends: tuple[int, ...] = ()
    """Tokens that end a completion; the one that does is its last."""
    pad: int = 0


def generator(device: torch.device | str, *numbers: int) -> torch.Generator:
    """Random numbers of their own: what draws from them disturbs nothing else and is the same in every attempt."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator(device=device).manual_seed(seed)


def complete(
    model: Any,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    random: torch.Generator,
    *,
    rows: int = 256,
) -> list[list[int]]:
    """One completion for each prompt, in order; equal prompts are read once. `rows` are in memory at a time."""
    found: list[list[int]] = []
    with Evaluating(model):
        for at in range(0, len(prompts), rows):
            part = prompts[at : at + rows]
            found += (_stepwise if _plain(model) else _generated)(model, part, decoding, random)
    return found


class _InPlace(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer's keys and values in a buffer that grows by doubling; what is read of it is a view."""

    _stored: tuple[torch.Tensor, torch.Tensor] | None = None
    _length = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See DynamicLayer. Shapes: (B, heads, T, d)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        until = self._length + key_states.shape[-2]
        keys, values = self._room(key_states, until), self._room(value_states, until, which=1)
        keys[:, :, self._length : until] = key_states
        values[:, :, self._length : until] = value_states
        self._stored, self._length = (keys, values), until
        self.keys, self.values = keys[:, :, :until], values[:, :, :until]
        return self.keys, self.values

    def _room(self, states: torch.Tensor, until: int, which: int = 0) -> torch.Tensor:
        stored = None if self._stored is None else self._stored[which]
        if stored is not None and stored.shape[2] >= until:
            return stored
        size = list(states.shape)
        size[2] = max(64, 2 * until)
        room = states.new_empty(size)
        if stored is not None:
            room[:, :, : self._length] = stored[:, :, : self._length]
        return room

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may be kept more than once."""
        if self._stored is not None:
            keys, values = (part[indices] for part in self._stored)
            self._stored = (keys, values)
            self.keys, self.values = keys[:, :, : self._length], values[:, :, : self._length]


def _plain(model: Any) -> bool:
    """Whether the model attends to everything before, through the usual cache."""
    base = _base(model)
    cache = DynamicCache(config=base.config.get_text_config(decoder=True))
    plain = all(type(layer) is DynamicLayer for layer in cache.layers)
    return plain and not getattr(base, "_is_stateful", False) and "position_ids" in _parameters(base)


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _parameters(model: Any) -> set[str]:
    return set(inspect.signature(type(model).forward).parameters)  # trl patches the instance's


def _stepwise(
    model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, random: torch.Generator
) -> list[list[int]]:
    """Token by token. In comments B is what is left of the batch, T the tokens so far."""
    base = _base(model)
    takes = _parameters(base)
    cache_name = "cache" if "cache" in takes else "past_key_values"
    more = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    cache = DynamicCache(config=base.config.get_text_config(decoder=True))
    layer: Any = _InPlace
    cache.layers = [layer() for _ in cache.layers]
    distinct, index = _distinct(prompts)
    tokens, mask = padded(distinct, decoding, model.device)
    width = tokens.shape[1]
    full = torch.ones(len(distinct), width + decoding.max_new_tokens, dtype=torch.long, device=model.device)
    full[:, :width] = mask
    position = (mask.cumsum(dim=1) - 1).clamp(min=0)
    which = torch.tensor(index, device=model.device)
    written = torch.full(
        (len(prompts), decoding.max_new_tokens), decoding.pad, dtype=torch.long, device=model.device
    )
    lengths = torch.full((len(prompts),), decoding.max_new_tokens, dtype=torch.long, device=model.device)
    rows = torch.arange(len(prompts), device=model.device)  # (B,) their places among the prompts
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)  # (B,)
    ends = torch.tensor(decoding.ends, dtype=torch.long, device=model.device)
    for step in range(decoding.max_new_tokens):
        seen = {"attention_mask": full[:, : width + step], "position_ids": position, cache_name: cache}
        logits = model(input_ids=tokens, **seen, use_cache=True, **more).logits[:, -1].float()  # (B, V)
        if step == 0:
            logits, full, position = logits[which], full[which], position[which]
            cache.batch_select_indices(which)
        chosen = choose(logits, decoding, random)  # (B,)
        written[rows, step] = torch.where(ended, decoding.pad, chosen)
        now = torch.isin(chosen, ends) & ~ended
        lengths[rows[now]] = step + 1
        ended |= now
        left = int((~ended).sum())
        if not left:
            break
        tokens, position = chosen[:, None], position[:, -1:] + 1
        if len(rows) - left >= max(1, len(rows) // _LEAVE_AT):
            keep = (~ended).nonzero()[:, 0]
            rows, ended, full = rows[keep], ended[keep], full[keep]
            tokens, position = tokens[keep], position[keep]
            cache.batch_select_indices(keep)
    return [row[:length] for row, length in zip(written.tolist(), lengths.tolist(), strict=True)]


def _distinct(prompts: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[int]]:
    places: dict[tuple[int, ...], int] = {}
    index = [places.setdefault(tuple(prompt), len(places)) for prompt in prompts]
    return list(places), index


def padded(
    prompts: Sequence[Sequence[int]], decoding: Decoding, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as (B, T) token ids, padded on the left, and the mask."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[decoding.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def choose(logits: torch.Tensor, decoding: Decoding, random: torch.Generator) -> torch.Tensor:
    """A token for each row of (B, V) logits."""
    if decoding.temperature == 0:
        return logits.argmax(dim=-1)
    chances = torch.softmax(logits / decoding.temperature, dim=-1)
    if decoding.top_p < 1:
        ranked, order = chances.sort(dim=-1, descending=True, stable=True)
        # Left out is what comes after top_p is reached; the likeliest stays.
        ranked[ranked.cumsum(dim=-1) - ranked >= decoding.top_p] = 0
        chances = torch.zeros_like(chances).scatter_(-1, order, ranked)
    return torch.multinomial(chances, 1, generator=random)[:, 0]


def _generated(
    model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, random: torch.Generator
) -> list[list[int]]:
    tokens, mask = padded(prompts, decoding, model.device)
    greedy = decoding.temperature == 0
    how = {} if greedy else {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    config: Any = GenerationConfig
    settings = config(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=not greedy,
        eos_token_id=list(decoding.ends) or None,
        pad_token_id=decoding.pad,
        disable_compile=True,
        **how,
    )
    seed = int(torch.randint(2**62, (1,), generator=random, device=random.device))
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        found = model.generate(input_ids=tokens, attention_mask=mask, generation_config=settings)
    return [_until_end(row, decoding.ends) for row in found[:, tokens.shape[1] :].tolist()]


def _until_end(row: list[int], ends: Sequence[int]) -> list[int]:
    for at, token in enumerate(row):
        if token in ends:
            return row[: at + 1]
    return row
