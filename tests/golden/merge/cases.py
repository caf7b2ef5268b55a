"""Merges that mergekit and Seedstock are both given: tiny models, mergekit's configuration, and our arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
HIDDEN, INNER, LAYERS, VOCABULARY = 16, 24, 3, 48
SEED = 11
_BITS = {"F32": "<f4", "F16": "<f2"}


def case(
    name: str,
    method: str,
    args: Mapping[str, Any],
    yaml: Mapping[str, Any] | None = None,
    *,
    models: int = 2,
    dtype: str = "BF16",
    each: Mapping[str, list[Any]] | None = None,
) -> dict[str, Any]:
    """One merge. `each` gives mergekit's parameters per model; `yaml` what else its configuration says."""
    entries = [
        {"model": f"model_{at}", "parameters": {key: values[at] for key, values in (each or {}).items()}}
        for at in range(models)
    ]
    config: dict[str, Any] = {"merge_method": method, **(yaml or {})}
    if "slices" not in config:
        config["models"] = entries
    if method in {"ties", "dare_ties", "dare_linear", "task_arithmetic"}:
        config["base_model"] = "base"
    return {"name": name, "dtype": dtype, "yaml": config, "args": {"method": method, **args}}


def _family(arithmetic: str, dtype: str, end: str) -> list[dict[str, Any]]:
    yaml: dict[str, Any] = {} if arithmetic == "source" else {"dtype": "float32", "out_dtype": "bfloat16"}
    if dtype == "F32":
        yaml = {}
    own = {"arithmetic": arithmetic}
    weights, density = [0.7, 0.5, 0.3], [0.5, 0.35, 0.6]
    both = {"weight": weights, "density": density}
    common = {**own, "weights": weights, "density": density}
    return [
        case(
            f"ties-{end}",
            "ties",
            common,
            {**yaml, "parameters": {"normalize": True}},
            models=3,
            dtype=dtype,
            each=both,
        ),
        case(
            f"ties-lambda-{end}",
            "ties",
            {**common, "normalize": False, "scale": 0.8},
            {**yaml, "parameters": {"normalize": False, "lambda": 0.8}},
            models=3,
            dtype=dtype,
            each=both,
        ),
        case(
            f"task-arithmetic-{end}",
            "task_arithmetic",
            {**own, "weights": weights[:2]},
            yaml,
            dtype=dtype,
            each={"weight": weights},
        ),
        case(f"dare-ties-{end}", "dare_ties", common, yaml, models=3, dtype=dtype, each=both),
        case(
            f"dare-linear-{end}",
            "dare_linear",
            {**common, "weights": weights[:2], "density": density[:2]},
            yaml,
            dtype=dtype,
            each=both,
        ),
    ]


def cases() -> list[dict[str, Any]]:
    """All of them."""
    stack = [[0, 0, 2], [1, 1, 3]]
    slices = [{"sources": [{"model": f"model_{at}", "layer_range": [a, b]}]} for at, a, b in stack]
    t = [{"filter": "self_attn", "value": [0, 0.5, 1]}, {"filter": "mlp", "value": [1, 0]}, {"value": 0.5}]
    rules = {
        "rules": [
            {"filter": "self_attn", "values": [0, 0.5, 1]},
            {"filter": "mlp", "values": [1, 0]},
            {"values": [0.5]},
        ]
    }
    return [
        case("linear-bf16", "linear", {"weights": [0.3, 0.9]}, each={"weight": [0.3, 0.9]}),
        case(
            "linear-sum-f32",
            "linear",
            {"weights": [0.3, 0.9], "normalize": False},
            {"parameters": {"normalize": False}},
            dtype="F32",
            each={"weight": [0.3, 0.9]},
        ),
        case("linear-f16", "linear", {"weights": [1, 2]}, dtype="F16", each={"weight": [1, 2]}),
        case("slerp-bf16", "slerp", {"weights": [0.3]}, {"base_model": "model_0", "parameters": {"t": 0.3}}),
        case(
            "slerp-rules-f32",
            "slerp",
            {"weights": [rules]},
            {"base_model": "model_0", "parameters": {"t": t}},
            dtype="F32",
        ),
        case("passthrough-bf16", "passthrough", {"layers": stack}, {"slices": slices}),
        *_family("source", "BF16", "bf16"),
        *_family("float32", "BF16", "wide"),
        *_family("source", "F16", "f16"),
        *_family("float32", "F32", "f32"),
    ]


def write_models(folder: Path, dtype: str) -> None:
    """`base`, and `model_0` ... `model_2` that were derived from it."""
    random = np.random.default_rng(SEED)
    base = _state(random)
    _write(folder / "base", base, dtype)
    for at in range(3):
        changed = {
            name: value + random.standard_normal(value.shape) * 2e-2 * (at + 1)
            for name, value in base.items()
        }
        _write(folder / f"model_{at}", changed, dtype)


def _state(random: np.random.Generator) -> dict[str, Any]:
    def matrix(out: int, into: int) -> Any:
        return random.standard_normal((out, into)) / np.sqrt(into)

    found = {
        "model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN),
        "lm_head.weight": matrix(VOCABULARY, HIDDEN),
        "model.norm.weight": np.ones(HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        found |= {f"{at}.{name}_layernorm.weight": np.ones(HIDDEN) for name in ("input", "post_attention")}
        found |= {f"{at}.self_attn.{name}_proj.weight": matrix(HIDDEN, HIDDEN) for name in "qkvo"}
        found |= {f"{at}.mlp.{name}_proj.weight": matrix(INNER, HIDDEN) for name in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = matrix(HIDDEN, INNER)
    return found


def _write(folder: Path, state: Mapping[str, Any], dtype: str) -> None:
    folder.mkdir(parents=True)
    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "dtype": names[dtype],
    }
    (folder / "config.json").write_text(json.dumps(config))
    header, body = {}, b""
    for name, value in state.items():
        raw = _bytes(np.asarray(value, np.float32), dtype)
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": offsets}
        body += raw
    top = json.dumps(header).encode()
    top += b" " * (-len(top) % 8)
    (folder / "model.safetensors").write_bytes(len(top).to_bytes(8, "little") + top + body)


def _bytes(values: Any, dtype: str) -> bytes:
    if dtype == "BF16":  # cut, not rounded: any bfloat16 will do
        return (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    return bytes(values.astype(_BITS[dtype]).tobytes())
