"""Small seeded models of the llama family as state dicts, and the ways in which models come from others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

State = dict[str, NDArray[np.float32]]


def toy_llama(seed: int, *, layers: int = 4, hidden: int = 64, inner: int = 192, vocab: int = 512) -> State:
    """Random weights under the names that transformers uses."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        # Trained matrices have rows of very different length; equal ones would give flat profiles.
        scale = random.lognormal(0, 0.5, (1, columns)) / np.sqrt(columns)
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    state: State = {"model.embed_tokens.weight": matrix(vocab, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            state[f"{prefix}.self_attn.{name}.weight"] = matrix(hidden, hidden)
        state[f"{prefix}.mlp.gate_proj.weight"] = matrix(inner, hidden)
        state[f"{prefix}.mlp.up_proj.weight"] = matrix(inner, hidden)
        state[f"{prefix}.mlp.down_proj.weight"] = matrix(hidden, inner)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            state[f"{prefix}.{norm}.weight"] = random.lognormal(0, 0.2, hidden).astype(np.float32)
    state["model.norm.weight"] = np.ones(hidden, dtype=np.float32)
    return state


def fine_tuned(base: Mapping[str, NDArray[np.float32]], seed: int, rho: float = 0.01) -> State:
    """Every tensor moved a little: by `rho` of its own spread."""
    random = np.random.default_rng(seed)
    return {
        name: (value + random.standard_normal(value.shape) * rho * max(float(value.std()), 1e-3)).astype(
            np.float32
        )
        for name, value in base.items()
    }


def merged(parents: list[State], shares: list[float]) -> State:
    """The weighted sum."""
    return {
        name: sum(share * parent[name] for share, parent in zip(shares, parents, strict=True)).astype(  # type: ignore[union-attr]
            np.float32
        )
        for name in parents[0]
    }


def safetensors_bytes(state: Mapping[str, NDArray[np.float32]]) -> bytes:
    """One safetensors file of float16."""
    return save({name: value.astype(np.float16) for name, value in state.items()})
