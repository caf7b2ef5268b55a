"""Architectures of the benchmark: shapes, config.json, and tensors between Hugging Face names and one plain form.

The plain form of a model is a dict of float32 arrays, every matrix as [out, in] and every norm as its effective factor:
`embed`, `positions`, `final_norm`, `final_norm_b`, `head`, and per layer `{i}.attn_norm`, `{i}.q`, `{i}.k`, `{i}.v`,
`{i}.o`, `{i}.mlp_norm`, `{i}.gate`, `{i}.up`, `{i}.down`, with `_b` for biases. What an architecture lacks is absent.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

Weights = dict[str, np.ndarray]


class Shape(msgspec.Struct, frozen=True):
    """What config.json says."""

    architecture: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    tied: bool = True

    @property
    def head_width(self) -> int:
        """Size of one attention head."""
        return self.width // self.heads

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate beside its up projection."""
        return self.architecture != "gpt2"

    @property
    def rms(self) -> bool:
        """Whether norms are RMS norms: no mean, no bias."""
        return self.architecture != "gpt2"


CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}


def config(shape: Shape) -> dict[str, Any]:
    """config.json of a model."""
    common = {
        "model_type": shape.architecture,
        "architectures": [CLASSES[shape.architecture]],
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }
    if shape.architecture == "gpt2":
        return common | {
            "n_embd": shape.width,
            "n_layer": shape.layers,
            "n_head": shape.heads,
            "n_inner": shape.ffn,
            "n_positions": 128,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        }
    more = common | {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": 8192 if shape.width == 576 else 128,
        "head_dim": shape.head_width,
        "rms_norm_eps": 1e-5,
    }
    if shape.width == 576:
        more["rope_theta"] = 100000.0
    if shape.architecture == "gemma":
        more["hidden_activation"] = "gelu_pytorch_tanh"
    return more


_GPT2_LAYER = {
    "attn_norm": "ln_1.weight", "attn_norm_b": "ln_1.bias", "o": "attn.c_proj.weight", "o_b": "attn.c_proj.bias",
    "mlp_norm": "ln_2.weight", "mlp_norm_b": "ln_2.bias", "up": "mlp.c_fc.weight", "up_b": "mlp.c_fc.bias",
    "down": "mlp.c_proj.weight", "down_b": "mlp.c_proj.bias",
}  # fmt: skip
_LLAMA_LAYER = {
    "attn_norm": "input_layernorm.weight", "q": "self_attn.q_proj.weight", "k": "self_attn.k_proj.weight",
    "v": "self_attn.v_proj.weight", "o": "self_attn.o_proj.weight", "mlp_norm": "post_attention_layernorm.weight",
    "gate": "mlp.gate_proj.weight", "up": "mlp.up_proj.weight", "down": "mlp.down_proj.weight",
    "q_b": "self_attn.q_proj.bias", "k_b": "self_attn.k_proj.bias", "v_b": "self_attn.v_proj.bias",
}  # fmt: skip


def to_names(plain: Weights, shape: Shape) -> Weights:
    """The tensors under the names of the Hugging Face implementation."""
    return _to_gpt2(plain, shape) if shape.architecture == "gpt2" else _to_llama(plain, shape)


def from_names(named: Weights, shape: Shape) -> Weights:
    """The plain form of tensors under Hugging Face names."""
    return _from_gpt2(named, shape) if shape.architecture == "gpt2" else _from_llama(named, shape)


def _to_llama(plain: Weights, shape: Shape) -> Weights:
    offset = np.float32(
        1.0 if shape.architecture == "gemma" else 0.0
    )  # Gemma stores a norm's factor less one
    named = {"model.embed_tokens.weight": plain["embed"]}
    for layer in range(shape.layers):
        for part, name in _LLAMA_LAYER.items():
            if (value := plain.get(f"{layer}.{part}")) is not None:
                named[f"model.layers.{layer}.{name}"] = value - offset if "norm" in part else value
    named["model.norm.weight"] = plain["final_norm"] - offset
    if "head" in plain:
        named["lm_head.weight"] = plain["head"]
    return named


def _from_llama(named: Weights, shape: Shape) -> Weights:
    offset = np.float32(1.0 if shape.architecture == "gemma" else 0.0)
    plain = {"embed": named["model.embed_tokens.weight"], "final_norm": named["model.norm.weight"] + offset}
    for layer in range(shape.layers):
        for part, name in _LLAMA_LAYER.items():
            if (value := named.get(f"model.layers.{layer}.{name}")) is not None:
                plain[f"{layer}.{part}"] = value + offset if "norm" in part else value
    if not shape.tied:
        plain["head"] = named["lm_head.weight"]
    return plain


def _to_gpt2(plain: Weights, shape: Shape) -> Weights:
    named = {"transformer.wte.weight": plain["embed"], "transformer.wpe.weight": plain["positions"]}
    for layer in range(shape.layers):
        prefix = f"transformer.h.{layer}."
        for part, name in _GPT2_LAYER.items():
            value = plain[f"{layer}.{part}"]
            named[prefix + name] = value.T if value.ndim == 2 else value  # Conv1D stores [in, out]
        fused = [plain[f"{layer}.{part}"] for part in "qkv"]
        named[prefix + "attn.c_attn.weight"] = np.concatenate(fused).T
        named[prefix + "attn.c_attn.bias"] = np.concatenate([plain[f"{layer}.{part}_b"] for part in "qkv"])
    named["transformer.ln_f.weight"] = plain["final_norm"]
    named["transformer.ln_f.bias"] = plain["final_norm_b"]
    if "head" in plain:
        named["lm_head.weight"] = plain["head"]
    return named


def _from_gpt2(named: Weights, shape: Shape) -> Weights:
    plain = {
        "embed": named["transformer.wte.weight"],
        "positions": named["transformer.wpe.weight"],
        "final_norm": named["transformer.ln_f.weight"],
        "final_norm_b": named["transformer.ln_f.bias"],
    }
    for layer in range(shape.layers):
        prefix = f"transformer.h.{layer}."
        for part, name in _GPT2_LAYER.items():
            value = named[prefix + name]
            plain[f"{layer}.{part}"] = value.T if value.ndim == 2 else value
        for part, matrix in zip("qkv", np.split(named[prefix + "attn.c_attn.weight"].T, 3), strict=True):
            plain[f"{layer}.{part}"] = matrix
        for part, bias in zip("qkv", np.split(named[prefix + "attn.c_attn.bias"], 3), strict=True):
            plain[f"{layer}.{part}_b"] = bias
    if not shape.tied:
        plain["head"] = named["lm_head.weight"]
    return plain


def layer_parts(plain: Weights, layer: int) -> list[str]:
    """Names of the parts that a layer has."""
    prefix = f"{layer}."
    return [name.removeprefix(prefix) for name in plain if name.startswith(prefix)]
