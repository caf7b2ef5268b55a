"""What sets phi3 apart: one matrix for queries, keys and values, one for both halves of the MLP, heads that turn in part."""

from __future__ import annotations

from collections.abc import Mapping

from seedstock.convert.config import Config
from seedstock.convert.plan import Value
from seedstock.core.errors import UnsupportedFormat

_UINT32 = 4

NAMES: Mapping[str, str] = {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}
"""Where they differ from llama's."""
ABSENT = ("attn_q.weight", "attn_k.weight", "attn_v.weight", "ffn_gate.weight")
"""Matrices of llama's that are parts of these."""


def matrices(config: Config) -> dict[str, tuple[int, ...]]:
    """The two fused matrices of a layer."""
    heads = config.num_attention_heads + 2 * config.kv_heads
    return {
        "attn_qkv.weight": (heads * config.head_size, config.hidden_size),
        "ffn_up.weight": (2 * config.intermediate_size, config.hidden_size),
    }


def phi3_settings(config: Config) -> dict[str, Value]:
    """How much of a head turns. Raises UnsupportedFormat if that is no even number of elements."""
    part = config.rope.get("partial_rotary_factor", config.partial_rotary_factor or 1.0)
    turning = part * config.head_size if isinstance(part, int | float) else 0
    if not 0 < turning <= config.head_size or turning % 2:
        raise UnsupportedFormat(f"config.json: partial_rotary_factor is {str(part)[:40]}")
    return {"phi3.rope.dimension_count": Value(int(turning), _UINT32)}
