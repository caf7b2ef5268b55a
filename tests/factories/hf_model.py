"""A small random model as transformers saves it, and what it computes: the oracle of conversions.

The forward pass is written from the architectures' definitions, in float32 and without a cache.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
State = dict[str, Floats]
WIDTH, LAYERS, HEADS, KV_HEADS, INNER = 256, 2, 4, 2, 512
CONTEXT = 128
CHATML = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
_BYTE_SPLIT = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def config(model_type: str, **more: Any) -> dict[str, Any]:
    """`config.json`."""
    return {
        "model_type": model_type,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": len(byte_vocabulary()),
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": CONTEXT,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        **more,
    }


def weights(settings: dict[str, Any], seed: int = 0, vocabulary: int | None = None) -> State:
    """Random weights, rounded to what bfloat16 and float16 both hold, so that nothing but the type differs."""
    random = np.random.default_rng(seed)
    head = settings.get("head_dim") or settings["hidden_size"] // HEADS
    rows = vocabulary or settings["vocab_size"]

    def matrix(out: int, into: int, scale: float = 1.0) -> Floats:
        return _round((random.standard_normal((out, into)) * scale / np.sqrt(into)).astype(np.float32))

    def vector(size: int, middle: float) -> Floats:
        return _round((middle + 0.2 * random.standard_normal(size)).astype(np.float32))

    state = {"model.embed_tokens.weight": matrix(rows, WIDTH, 3.0), "model.norm.weight": vector(WIDTH, 1.0)}
    if not settings["tie_word_embeddings"]:
        state["lm_head.weight"] = matrix(rows, WIDTH, 2.0)
    output = state.get("lm_head.weight", state["model.embed_tokens.weight"])
    # Tokens that are halves of a character never win: llama.cpp holds back what it says of them.
    output[128:256] = output[:128] / 2
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        state |= {
            f"{at}.input_layernorm.weight": vector(WIDTH, 1.0),
            f"{at}.post_attention_layernorm.weight": vector(WIDTH, 1.0),
            f"{at}.self_attn.q_proj.weight": matrix(HEADS * head, WIDTH, 2.0),
            f"{at}.self_attn.k_proj.weight": matrix(KV_HEADS * head, WIDTH, 2.0),
            f"{at}.self_attn.v_proj.weight": matrix(KV_HEADS * head, WIDTH),
            f"{at}.self_attn.o_proj.weight": matrix(WIDTH, HEADS * head),
            f"{at}.mlp.gate_proj.weight": matrix(INNER, WIDTH),
            f"{at}.mlp.up_proj.weight": matrix(INNER, WIDTH),
            f"{at}.mlp.down_proj.weight": matrix(WIDTH, INNER),
        }
        if settings["model_type"] == "qwen3":
            state |= {f"{at}.self_attn.{name}_norm.weight": vector(head, 1.0) for name in "qk"}
        if settings["model_type"] == "qwen2" or settings.get("attention_bias"):
            for name, count in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
                state[f"{at}.self_attn.{name}_proj.bias"] = vector(count * head, 0.0)
    return state


def _round(values: Floats) -> Floats:
    return (np.round(values * 64) / 64).astype(np.float32)


def logits(state: State, settings: dict[str, Any], tokens: list[int]) -> Floats:
    """The model's answer at every position."""
    heads, kv_heads = settings["num_attention_heads"], settings["num_key_value_heads"]
    head = settings.get("head_dim") or settings["hidden_size"] // heads
    eps = settings["rms_norm_eps"]
    angles = np.outer(np.arange(len(tokens)), _frequencies(settings, head))
    cos, sin = (np.concatenate([part, part], axis=1)[:, None] for part in (np.cos(angles), np.sin(angles)))
    cos, sin = cos * _magnitude(settings), sin * _magnitude(settings)
    mask = np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
    hidden = state["model.embed_tokens.weight"][tokens]
    for layer in range(settings["num_hidden_layers"]):
        at = f"model.layers.{layer}"

        def linear(name: str, value: Floats, at: str = at) -> Floats:
            return value @ state[f"{at}.{name}.weight"].T + state.get(f"{at}.{name}.bias", np.float32(0))

        def projected(name: str, count: int, value: Floats, at: str = at) -> Floats:
            found = linear(f"self_attn.{name}_proj", value).reshape(len(tokens), count, head)
            norm = state.get(f"{at}.self_attn.{name}_norm.weight")
            return found if norm is None else _norm(found, norm, eps)

        normed = _norm(hidden, state[f"{at}.input_layernorm.weight"], eps)
        queries = _turned(projected("q", heads, normed), cos, sin)
        keys = np.repeat(_turned(projected("k", kv_heads, normed), cos, sin), heads // kv_heads, axis=1)
        values = np.repeat(projected("v", kv_heads, normed), heads // kv_heads, axis=1)
        scores = np.einsum("qhd,khd->hqk", queries, keys) / np.sqrt(head) + mask
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", shares, values).reshape(len(tokens), heads * head)
        hidden = hidden + linear("self_attn.o_proj", mixed)
        normed = _norm(hidden, state[f"{at}.post_attention_layernorm.weight"], eps)
        gate = linear("mlp.gate_proj", normed)
        hidden = hidden + linear("mlp.down_proj", gate / (1 + np.exp(-gate)) * linear("mlp.up_proj", normed))
    output = state.get("lm_head.weight", state["model.embed_tokens.weight"])
    return np.asarray(_norm(hidden, state["model.norm.weight"], eps) @ output.T, dtype=np.float32)


def _frequencies(settings: dict[str, Any], head: int) -> NDArray[np.float64]:
    frequencies = settings["rope_theta"] ** (-np.arange(0, head, 2) / head)
    scaling = settings.get("rope_scaling") or {}
    if scaling.get("rope_type") == "linear":
        return np.asarray(frequencies / scaling["factor"])
    if scaling.get("rope_type") == "yarn":
        return _yarn(frequencies, scaling, settings, head)
    if scaling.get("rope_type") != "llama3":
        return np.asarray(frequencies)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    length = 2 * np.pi / frequencies
    smooth = (original / length - low) / (high - low)
    between = (1 - smooth) * frequencies / factor + smooth * frequencies
    slow = np.where(length > original / low, frequencies / factor, between)
    return np.asarray(np.where(length < original / high, frequencies, slow))


def _yarn(
    frequencies: NDArray[np.float64], scaling: dict[str, Any], settings: dict[str, Any], head: int
) -> NDArray[np.float64]:
    """YaRN's frequencies: those that turn seldom are divided, those that turn often kept, a ramp between."""
    length, base = scaling["original_max_position_embeddings"], settings["rope_theta"]

    def dimension(turns: float) -> float:
        return float(head * np.log(length / (turns * 2 * np.pi)) / (2 * np.log(base)))

    low, high = max(np.floor(dimension(32)), 0), min(np.ceil(dimension(1)), head - 1)
    ramp = np.clip((np.arange(head // 2) - low) / max(high - low, 0.001), 0, 1)
    return np.asarray(frequencies / scaling["factor"] * ramp + frequencies * (1 - ramp))


def _magnitude(settings: dict[str, Any]) -> float:
    """What YaRN multiplies the rotated queries and keys by."""
    scaling = settings.get("rope_scaling") or {}
    return float(0.1 * np.log(scaling["factor"]) + 1) if scaling.get("rope_type") == "yarn" else 1.0


def _norm(value: Floats, weight: Floats, eps: float) -> Floats:
    return np.asarray(value / np.sqrt((value**2).mean(axis=-1, keepdims=True) + eps) * weight)


def _turned(value: Floats, cos: Floats, sin: Floats) -> Floats:
    half = value.shape[-1] // 2
    swapped = np.concatenate([-value[..., half:], value[..., :half]], axis=-1)
    return np.asarray(value * cos + swapped * sin)


def byte_letters() -> list[str]:
    """GPT-2's letter for every byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    letters = {byte: chr(byte) for byte in shown} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}
    return [letters[byte] for byte in range(256)]


MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "t"), ("1", "2"), ("e", "r"), ("in", "g")]


def byte_vocabulary() -> dict[str, int]:
    """Token to number: bytes, what the merges make, and three special tokens."""
    texts = [*byte_letters(), *(left + right for left, right in MERGES)]
    return {text: at for at, text in enumerate([*texts, "<|end|>", "<|im_start|>", "<|im_end|>"])}


def tokenizer_json(pre_tokenizer: dict[str, Any] | None = None, **model: Any) -> bytes:
    """`tokenizer.json` of a byte-level BPE."""
    numbers = byte_vocabulary()
    special = list(numbers)[-3:]
    return json.dumps(
        {
            "added_tokens": [{"id": numbers[text], "content": text, "special": True} for text in special],
            "normalizer": None,
            "pre_tokenizer": pre_tokenizer or _BYTE_SPLIT,
            "post_processor": None,
            "model": {
                "type": "BPE",
                "vocab": {text: at for text, at in numbers.items() if text not in special},
                "merges": [list(pair) for pair in MERGES],
                **model,
            },
        }
    ).encode()


TOKENIZER_CONFIG = json.dumps(
    {"eos_token": "<|end|>", "add_bos_token": False, "chat_template": CHATML}
).encode()


def safetensors_bytes(state: State, dtype: str = "BF16") -> bytes:
    """The weights as a safetensors file."""
    header, parts, position = {}, [], 0
    for name, value in state.items():
        raw = (
            (np.ascontiguousarray(value).view(np.uint32) >> 16).astype(np.uint16).tobytes()
            if dtype == "BF16"
            else value.astype({"F16": "<f2", "F32": "<f4"}[dtype]).tobytes()
        )
        header[name] = {
            "dtype": dtype,
            "shape": list(value.shape),
            "data_offsets": [position, position + len(raw)],
        }
        position += len(raw)
        parts.append(raw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
