"""Random LoRA adapters of the models in `hf_model`, as PEFT saves them, and the weights that they stand for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.factories.hf_model import Floats, State

MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj")


def adapter_config(base: str = "ada/base", **more: Any) -> dict[str, Any]:
    """`adapter_config.json`."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": 4,
        "lora_alpha": 8,
        "bias": "none",
        "use_dora": False,
        "use_rslora": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "target_modules": [name.rpartition(".")[2] for name in MODULES],
        **more,
    }


def adapter_weights(
    base: State, settings: dict[str, Any], seed: int, modules: tuple[str, ...] = MODULES
) -> State:
    """Both matrices of every module, large enough to change what is said; `rank_pattern` is heeded."""
    random = np.random.default_rng(seed)
    state: State = {}
    for name, weight in base.items():
        module = name.removesuffix(".weight")
        if not module.endswith(modules):
            continue
        rank = settings.get("rank_pattern", {}).get(module.rpartition(".")[2], settings["r"])
        out, into = weight.shape
        at = f"base_model.model.{module}"
        state[f"{at}.lora_A.weight"] = _random(random, rank, into, 1 / math.sqrt(into))
        state[f"{at}.lora_B.weight"] = _random(random, out, rank, 0.5 / math.sqrt(rank))
    return state


def _random(random: np.random.Generator, rows: int, columns: int, scale: float) -> Floats:
    return (random.standard_normal((rows, columns)) * scale).astype(np.float16).astype(np.float32)


def merged(base: State, adapter: State, settings: dict[str, Any]) -> State:
    """The base's weights with the adapter added, by PEFT's definition."""
    state = dict(base)
    for name, a in adapter.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        b = adapter[name.replace("lora_A", "lora_B")]
        alpha = settings.get("alpha_pattern", {}).get(module.rpartition(".")[2], settings["lora_alpha"])
        rank = a.shape[0]
        scale = alpha / (math.sqrt(rank) if settings["use_rslora"] else rank)
        state[f"{module}.weight"] = (base[f"{module}.weight"] + scale * (b @ a)).astype(np.float32)
    return state
