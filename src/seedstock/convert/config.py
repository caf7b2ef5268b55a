"""What is read of a model's `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

_Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
_Rate = Annotated[float, msgspec.Meta(gt=0)]


class Config(msgspec.Struct, frozen=True):
    """Its settings; what only some architectures have is None for others."""

    model_type: str
    hidden_size: _Size
    intermediate_size: _Size
    num_hidden_layers: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    num_attention_heads: _Size
    vocab_size: _Size
    num_key_value_heads: _Size | None = None
    head_dim: _Size | None = None
    rms_norm_eps: _Rate = 1e-6
    max_position_embeddings: _Size = 2048
    rope_theta: _Rate | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    hidden_act: str = "silu"
    hidden_activation: str | None = None
    tie_word_embeddings: bool | None = None
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    layer_types: list[str] | None = None
    sliding_window_pattern: int | None = None
    rope_local_base_freq: _Rate | None = None
    partial_rotary_factor: _Rate | None = None
    query_pre_attn_scalar: _Rate | None = None
    attn_logit_softcapping: _Rate | None = None
    final_logit_softcapping: _Rate | None = None
    use_bidirectional_attention: bool | None = None
    quantization_config: dict[str, Any] | None = None

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def activation(self) -> str:
        """What stands between the two matrices of an MLP; gemma's later key goes before the earlier."""
        return self.hidden_activation or self.hidden_act

    @property
    def rope(self) -> Mapping[str, Any]:
        """The settings of the rotary embedding, under either key; of a model that has several, those of `full_attention`."""
        found = self.rope_parameters or self.rope_scaling or {}
        inner = found.get("full_attention")
        return inner if isinstance(inner, dict) else found
