"""Embeddings with transformers, in OpenAI's shape."""

from __future__ import annotations

import base64
from typing import Any

import torch

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import SERVED_MODEL
from seedstock.run.engines.transformers_memory import BATCH
from seedstock.run.engines.transformers_model import Loaded, Pooling


def embed(loaded: Loaded, body: dict[str, Any], context_tokens: int) -> dict[str, Any]:
    """Answer a request for embeddings. Raises Invalid for a text that is too long, or tokens that are none."""
    inputs = _inputs(loaded.tokenizer, body["input"])
    size = loaded.model.config.vocab_size
    for index, ids in enumerate(inputs):
        if len(ids) > context_tokens:
            raise Invalid(
                f"input {index} is too large to process: {len(ids)} tokens, and this model takes {context_tokens}"
            )
        if any(not 0 <= token < size for token in ids):
            raise Invalid("'input' holds numbers that are no tokens of this model")
    assert loaded.pooling is not None
    vectors: list[Any] = []
    for start in range(0, len(inputs), BATCH):
        vectors += _vectors(loaded, inputs[start : start + BATCH], loaded.pooling)
    tokens = sum(map(len, inputs))
    packed = body.get("encoding_format") == "base64"
    return {
        "object": "list",
        "model": SERVED_MODEL,
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(vector, packed=packed)}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _inputs(tokenizer: Any, given: Any) -> list[list[int]]:
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    return [tokenizer(one)["input_ids"] if isinstance(one, str) else one for one in given]


@torch.inference_mode()
def _vectors(loaded: Loaded, inputs: list[list[int]], pooling: Pooling) -> list[Any]:
    """One float32 vector for each, by the way of pooling (Reimers & Gurevych 2019, section 3)."""
    longest = max(map(len, inputs))
    pad = loaded.tokenizer.pad_token_id or 0
    device = loaded.model.device
    ids = torch.tensor([one + [pad] * (longest - len(one)) for one in inputs], device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in inputs], device=device)
    hidden = loaded.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    if pooling.mode == "cls":
        found = hidden[:, 0]
    elif pooling.mode == "lasttoken":
        found = hidden[torch.arange(len(inputs), device=device), mask.sum(1) - 1]
    else:
        found = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    # OpenAI's embeddings have unit length, and so have llama.cpp's, whatever the model's files say.
    return list(torch.nn.functional.normalize(found, dim=1).cpu().numpy())


def _written(vector: Any, *, packed: bool) -> Any:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if packed else vector.tolist()
