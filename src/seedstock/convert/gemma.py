"""What sets the gemma family apart: norms before and after, capped logits, windows in most layers.

llama.cpp has the pattern of the windows, the scale of the attention and the scale of the embedding in its code, so a
model that differs there is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedstock.convert.config import Config
from seedstock.convert.plan import Value
from seedstock.convert.rotary import positive, rope_theta
from seedstock.core.errors import UnsupportedFormat

_UINT32, _FLOAT32 = 4, 6
# By the number of their layers llama.cpp knows the models whose attention is scaled by the width, not by the head.
_LARGEST = {"gemma2": 46, "gemma3_text": 62}
_PATTERNS = {"gemma2": 2, "gemma3_text": 6}

NAMES: Mapping[str, str] = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
"""Of the second and third gemma, where they differ from llama's."""


def norms(config: Config) -> dict[str, tuple[int, ...]]:
    """The norms after attention and MLP of the second and third gemma."""
    return {
        "post_attention_norm.weight": (config.hidden_size,),
        "post_ffw_norm.weight": (config.hidden_size,),
    }


def gemma2_settings(config: Config) -> dict[str, Value]:
    """Caps and window. Raises UnsupportedFormat for what llama.cpp would compute otherwise."""
    _check(config)
    _same_frequencies(config)
    caps = config.attn_logit_softcapping, config.final_logit_softcapping
    if None in caps:
        raise UnsupportedFormat("llama.cpp caps the logits of gemma2, and config.json says that they are not")
    return {
        "gemma2.attn_logit_softcapping": Value(caps[0], _FLOAT32),
        "gemma2.final_logit_softcapping": Value(caps[1], _FLOAT32),
        **_window(config, "gemma2"),
    }


def gemma3_settings(config: Config) -> dict[str, Value]:
    """Window and the frequencies within it. Raises UnsupportedFormat for what llama.cpp would compute otherwise."""
    _check(config)
    if config.attn_logit_softcapping is not None or config.final_logit_softcapping is not None:
        raise UnsupportedFormat("Capped logits (attn_logit_softcapping) are not converted for gemma3")
    if config.use_bidirectional_attention:
        raise UnsupportedFormat("Attention to later tokens (use_bidirectional_attention) is not converted")
    return {"gemma3.rope.freq_base_swa": Value(_local_theta(config), _FLOAT32), **_window(config, "gemma3")}


def _check(config: Config) -> None:
    kind, layers = config.model_type, config.num_hidden_layers
    by_width = layers == _LARGEST[kind]
    scaled_by = config.hidden_size / config.num_attention_heads if by_width else float(config.head_size)
    if config.query_pre_attn_scalar not in {None, scaled_by}:
        raise UnsupportedFormat(
            f"llama.cpp scales attention by {scaled_by:g} here, and query_pre_attn_scalar is {config.query_pre_attn_scalar:g}"
        )
    every = _PATTERNS[kind]
    pattern = ["sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(layers)]
    if (config.layer_types or pattern) != pattern or config.sliding_window_pattern not in {None, every}:
        raise UnsupportedFormat(
            f"llama.cpp lets one layer in {every} of {kind} attend to all, and layer_types says otherwise"
        )


def _window(config: Config, name: str) -> dict[str, Value]:
    if not config.sliding_window:
        raise UnsupportedFormat("config.json: sliding_window is missing")
    return {f"{name}.attention.sliding_window": Value(config.sliding_window, _UINT32)}


def _local_theta(config: Config) -> float:
    inner: Any = (config.rope_parameters or {}).get("sliding_attention")
    if not isinstance(inner, dict):
        return config.rope_local_base_freq or 10_000.0
    if inner.get("rope_type", "default") != "default":
        raise UnsupportedFormat("Scaled frequencies within the window are not converted")
    return positive(inner.get("rope_theta", 10_000.0), "rope_theta")


def _same_frequencies(config: Config) -> None:
    inner: Any = (config.rope_parameters or {}).get("sliding_attention")
    if isinstance(inner, dict) and inner.get("rope_theta") != rope_theta(config):
        raise UnsupportedFormat("Layers with different frequencies are not converted for gemma2")
