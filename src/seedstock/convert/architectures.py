"""The architectures of safetensors models that can be written as GGUF: their settings, names and shapes.

What llama.cpp would compute otherwise than the model's own code is refused by name, never written and hoped for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from seedstock.convert.plan import Value
from seedstock.core.errors import UnsupportedFormat

_STRING, _UINT32, _FLOAT32 = 8, 4, 6
_Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
_Rate = Annotated[float, msgspec.Meta(gt=0)]


class Architecture(msgspec.Struct, frozen=True):
    """How one `model_type` maps: llama.cpp's name, whether rows are reordered, which biases and norms it has."""

    name: str
    reordered: bool = False
    biases: frozenset[str] = frozenset()
    biases_needed: bool = False
    head_norms: bool = False


# Settings of YaRN that its definition has defaults for; llama.cpp's are the same.
_NOT_CONVERTED = ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")
_ATTENTION = frozenset({"attn_q", "attn_k", "attn_v"})
_ALL = _ATTENTION | {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", reordered=True, biases=_ALL),
    "mistral": Architecture("llama", reordered=True),
    "qwen2": Architecture("qwen2", biases=_ATTENTION, biases_needed=True),
    "qwen3": Architecture("qwen3", head_norms=True),
}


class Config(msgspec.Struct, frozen=True):
    """What is read of `config.json`."""

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
    tie_word_embeddings: bool | None = None
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
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
    def rope(self) -> Mapping[str, Any]:
        """The settings of the rotary embedding, under either key."""
        return self.rope_parameters or self.rope_scaling or {}


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
    if config.hidden_act != "silu":
        raise UnsupportedFormat(f"The activation {config.hidden_act[:40]!r} is not what llama.cpp computes")
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
    layer: dict[str, tuple[int, ...]] = {
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
    if kind.head_norms:
        layer |= {"attn_q_norm.weight": (config.head_size,), "attn_k_norm.weight": (config.head_size,)}
    if kind.biases_needed:
        layer |= {f"{name}.bias": layer[f"{name}.weight"][:1] for name in sorted(kind.biases)}
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (config.vocab_size, width)}
    for number in range(config.num_hidden_layers):
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    return shapes | {"output_norm.weight": (width,)}


def settings(config: Config) -> dict[str, Value]:
    """The architecture's keys. Raises UnsupportedFormat for a rotary embedding that cannot be expressed."""
    name = ARCHITECTURES[config.model_type].name
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
    values[f"{name}.rope.freq_base"] = Value(_theta(config), _FLOAT32)
    return values | _scaling(config, name)


def _theta(config: Config) -> float:
    found = config.rope.get("rope_theta", config.rope_theta)
    return _positive(found, "rope_theta") if found is not None else 10_000.0


def _positive(value: object, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e18:
        raise UnsupportedFormat(f"config.json: {name} is {str(value)[:40]!r}")
    return float(value)


def _scaling_kind(config: Config) -> str:
    return str(config.rope.get("rope_type") or config.rope.get("type") or "default")


def _scaling(config: Config, name: str) -> dict[str, Value]:
    kind = _scaling_kind(config)
    if kind in {"default", "llama3"}:
        return {}
    if kind not in {"linear", "yarn"} or any(config.rope.get(key) is not None for key in _NOT_CONVERTED):
        raise UnsupportedFormat(f"The rotary embedding's scaling {kind[:40]!r} is not converted")
    values = {
        f"{name}.rope.scaling.type": Value(kind, _STRING),
        f"{name}.rope.scaling.factor": Value(_positive(config.rope.get("factor"), "factor"), _FLOAT32),
    }
    if kind == "yarn":
        original = config.rope.get("original_max_position_embeddings", config.max_position_embeddings)
        length = int(_positive(original, "original_max_position_embeddings"))
        values[f"{name}.rope.scaling.original_context_length"] = Value(length, _UINT32)
    return values


def frequency_factors(config: Config) -> tuple[float, ...]:
    """Of Llama 3's scaling, what each frequency is divided by; nothing for others."""
    if _scaling_kind(config) != "llama3":
        return ()
    rope, theta, size = config.rope, _theta(config), config.head_size
    factor = _positive(rope.get("factor", 8.0), "factor")
    low = _positive(rope.get("low_freq_factor", 1.0), "low_freq_factor")
    high = _positive(rope.get("high_freq_factor", 4.0), "high_freq_factor")
    original = _positive(
        rope.get("original_max_position_embeddings", 8192), "original_max_position_embeddings"
    )
    if high <= low:
        raise UnsupportedFormat("config.json: high_freq_factor is not above low_freq_factor")
    factors = []
    for at in range(0, size, 2):
        turns = original * theta ** (-at / size) / (2 * math.pi)
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return tuple(factors)
