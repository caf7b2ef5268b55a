"""The architectures of safetensors models that can be written as GGUF: their settings, names and shapes.

What llama.cpp would compute otherwise than the model's own code is refused by name, never written and hoped for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from seedstock.convert import gemma, phi
from seedstock.convert.config import Config
from seedstock.convert.plan import Value
from seedstock.convert.rotary import rope_theta, scaling
from seedstock.core.errors import UnsupportedFormat

_UINT32, _FLOAT32 = 4, 6
_Shapes = dict[str, tuple[int, ...]]

LAYER_NAMES: Mapping[str, str] = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Modules of a layer, by llama's names, and what llama.cpp calls them."""


class Architecture(msgspec.Struct, frozen=True):
    """How one `model_type` maps: llama.cpp's name, whether rows are reordered, which biases and norms it has."""

    name: str
    reordered: bool = False
    biases: frozenset[str] = frozenset()
    biases_needed: bool = False
    head_norms: bool = False
    activations: tuple[str, ...] = ("silu",)
    norm_offset: float = 0.0
    """What is added to norms, which llama.cpp takes as they are and gemma's own code adds to one."""
    renamed: Mapping[str, str] = {}
    """Modules that llama.cpp calls otherwise than a llama's."""
    absent: tuple[str, ...] = ()
    """Tensors of a llama's layer that it does not have."""
    more: Callable[[Config], _Shapes] | None = None
    """Tensors of a layer that a llama's does not have, or has in another shape."""
    settings: Callable[[Config], dict[str, Value]] | None = None
    """Keys that a llama has not, or other values; raises UnsupportedFormat for what llama.cpp would compute otherwise."""

    @property
    def names(self) -> dict[str, str]:
        """Modules of a layer, and what llama.cpp calls them."""
        return {**LAYER_NAMES, **self.renamed}


_ATTENTION = frozenset({"attn_q", "attn_k", "attn_v"})
_ALL = _ATTENTION | {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}
_GELU = ("gelu_pytorch_tanh",)
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", reordered=True, biases=_ALL),
    "mistral": Architecture("llama", reordered=True),
    "qwen2": Architecture("qwen2", biases=_ATTENTION, biases_needed=True),
    "qwen3": Architecture("qwen3", head_norms=True),
    # The first gemma was published as "gelu" and computed by the approximation all the same.
    "gemma": Architecture("gemma", activations=(*_GELU, "gelu"), norm_offset=1.0),
    "gemma2": Architecture(
        "gemma2",
        activations=_GELU,
        norm_offset=1.0,
        renamed=gemma.NAMES,
        more=gemma.norms,
        settings=gemma.gemma2_settings,
    ),
    "gemma3_text": Architecture(
        "gemma3",
        head_norms=True,
        activations=_GELU,
        norm_offset=1.0,
        renamed=gemma.NAMES,
        more=gemma.norms,
        settings=gemma.gemma3_settings,
    ),
    "phi3": Architecture(
        "phi3",
        renamed=phi.NAMES,
        absent=phi.ABSENT,
        more=phi.matrices,
        settings=phi.phi3_settings,
    ),
}


class _Kind(msgspec.Struct, frozen=True):
    model_type: str | None = None
    architectures: list[str] | None = None


def read_config(raw: bytes) -> tuple[Config, dict[str, Any]]:
    """`config.json` of a model that can be converted, and all of it as plain values. Raises UnsupportedFormat."""
    try:
        kind = msgspec.json.decode(raw, type=_Kind)
        found = kind.model_type or (kind.architectures or ["nothing"])[0]
        if found not in ARCHITECTURES:
            raise UnsupportedFormat(
                f"Models of architecture {found[:60]!r} cannot be converted to GGUF here",
                hint=f"these can: {', '.join(ARCHITECTURES)}",
            )
        config = msgspec.json.decode(raw, type=Config)
        plain = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"config.json is not understood: {str(error)[:200]}") from None
    _check(config)
    return config, plain


def _check(config: Config) -> None:
    if config.activation not in ARCHITECTURES[config.model_type].activations:
        raise UnsupportedFormat(f"The activation {config.activation[:40]!r} is not what llama.cpp computes")
    if config.quantization_config:
        method = str(config.quantization_config.get("quant_method"))[:40]
        raise UnsupportedFormat(f"The weights are packed by {method!r}", hint="convert the original weights")
    if config.use_sliding_window and config.model_type in {"qwen2", "qwen3"}:
        raise UnsupportedFormat("Sliding-window attention (use_sliding_window) is not converted")
    if config.num_attention_heads % config.kv_heads or config.head_size % 2:
        raise UnsupportedFormat("config.json: attention heads, key-value heads and width do not fit together")


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every tensor that the model must have, under llama.cpp's names, in the order they are written."""
    width, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_attention_heads * config.head_size, config.kv_heads * config.head_size
    layer: _Shapes = {
        "attn_norm.weight": (width,),
        "attn_q.weight": (queries, width),
        "attn_k.weight": (keys, width),
        "attn_v.weight": (keys, width),
        "attn_output.weight": (width, queries),
        "ffn_norm.weight": (width,),
        "ffn_gate.weight": (inner, width),
        "ffn_up.weight": (inner, width),
        "ffn_down.weight": (width, inner),
    }
    kind = ARCHITECTURES[config.model_type]
    layer = {name: shape for name, shape in layer.items() if name not in kind.absent}
    layer |= kind.more(config) if kind.more else {}
    if kind.head_norms:
        layer |= {"attn_q_norm.weight": (config.head_size,), "attn_k_norm.weight": (config.head_size,)}
    if kind.biases_needed:
        layer |= {f"{name}.bias": layer[f"{name}.weight"][:1] for name in sorted(kind.biases)}
    shapes: _Shapes = {"token_embd.weight": (config.vocab_size, width)}
    for number in range(config.num_hidden_layers):
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    return shapes | {"output_norm.weight": (width,)}


def settings(config: Config) -> dict[str, Value]:
    """The architecture's keys. Raises UnsupportedFormat for what they cannot express."""
    kind = ARCHITECTURES[config.model_type]
    name = kind.name
    numbers = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_size,
        "attention.value_length": config.head_size,
        "rope.dimension_count": config.head_size,
    }
    values = {f"{name}.{key}": Value(number, _UINT32) for key, number in numbers.items()}
    values[f"{name}.attention.layer_norm_rms_epsilon"] = Value(config.rms_norm_eps, _FLOAT32)
    values[f"{name}.rope.freq_base"] = Value(rope_theta(config), _FLOAT32)
    return values | scaling(config, name) | (kind.settings(config) if kind.settings else {})
