"""Short greedy answers during training: what a curve does not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from seedstock.adapt.train.chat import render
from seedstock.adapt.train.encode import IGNORED, Encoded
from seedstock.adapt.train.save import end_tokens
from seedstock.adapt.train.watch import Sampler

MOST_PROMPTS = 2
NEW_TOKENS = 48
_TEXT_PROMPT_TOKENS = 16


def sampler(model: Any, tokenizer: Any, prompts: Sequence[list[int]], limit: int) -> Sampler | None:
    """What generates from each prompt, in as many tokens as `limit` leaves."""
    kept = [prompt[-limit:] for prompt in prompts if prompt]
    if not kept:
        return None

    def sample() -> list[tuple[str, str]]:
        return [(tokenizer.decode(ids), _continued(model, tokenizer, ids)) for ids in kept]

    return sample


def prompts_of(
    tokenizer: Any, given: Sequence[str], held_out: Sequence[Encoded], *, chat: bool
) -> list[list[int]]:
    """The prompts a method names, as turns of a user where the rows are conversations; else held-out rows' beginnings."""
    if given:
        if not chat:
            return [list(tokenizer(text)["input_ids"]) for text in given]
        texts = [render(tokenizer, [{"role": "user", "content": text}], ask=True) for text in given]
        return [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return [_beginning(row) for row in held_out[:MOST_PROMPTS]]


def _beginning(row: Encoded) -> list[int]:
    unlearnt = next((at for at, label in enumerate(row.labels) if label != IGNORED), 0)
    return row.input_ids[: unlearnt or min(_TEXT_PROMPT_TOKENS, max(1, len(row.input_ids) // 2))]


def _continued(model: Any, tokenizer: Any, ids: list[int]) -> str:
    inputs = torch.tensor([ids], device=model.device)
    found = model.generate(
        input_ids=inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end_tokens(tokenizer),
    )
    return str(tokenizer.decode(found[0, len(ids) :], skip_special_tokens=True))
