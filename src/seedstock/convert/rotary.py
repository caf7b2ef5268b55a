"""The rotary embedding of `config.json`, as llama.cpp reads it."""

from __future__ import annotations

import math

from seedstock.convert.config import Config
from seedstock.convert.plan import Value
from seedstock.core.errors import UnsupportedFormat

_STRING, _UINT32, _FLOAT32 = 8, 4, 6
# Settings of YaRN that its definition has defaults for; llama.cpp's are the same.
_NOT_CONVERTED = ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")


def rope_theta(config: Config) -> float:
    """The base of the frequencies."""
    found = config.rope.get("rope_theta", config.rope_theta)
    return positive(found, "rope_theta") if found is not None else 10_000.0


def positive(value: object, name: str) -> float:
    """A number above 0, or UnsupportedFormat."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e18:
        raise UnsupportedFormat(f"config.json: {name} is {str(value)[:40]!r}")
    return float(value)


def _scaling_kind(config: Config) -> str:
    return str(config.rope.get("rope_type") or config.rope.get("type") or "default")


def scaling(config: Config, name: str) -> dict[str, Value]:
    """The keys of linear scaling and YaRN under an architecture's name. Raises UnsupportedFormat for others."""
    kind = _scaling_kind(config)
    if kind in {"default", "llama3"}:
        return {}
    if kind not in {"linear", "yarn"} or any(config.rope.get(key) is not None for key in _NOT_CONVERTED):
        raise UnsupportedFormat(f"The rotary embedding's scaling {kind[:40]!r} is not converted")
    values = {
        f"{name}.rope.scaling.type": Value(kind, _STRING),
        f"{name}.rope.scaling.factor": Value(positive(config.rope.get("factor"), "factor"), _FLOAT32),
    }
    if kind == "yarn":
        original = config.rope.get("original_max_position_embeddings", config.max_position_embeddings)
        length = int(positive(original, "original_max_position_embeddings"))
        values[f"{name}.rope.scaling.original_context_length"] = Value(length, _UINT32)
    return values


def frequency_factors(config: Config) -> tuple[float, ...]:
    """Of Llama 3's scaling, what each frequency is divided by; nothing for others."""
    if _scaling_kind(config) != "llama3":
        return ()
    rope, theta, size = config.rope, rope_theta(config), config.head_size
    factor = positive(rope.get("factor", 8.0), "factor")
    low = positive(rope.get("low_freq_factor", 1.0), "low_freq_factor")
    high = positive(rope.get("high_freq_factor", 4.0), "high_freq_factor")
    original = positive(
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
