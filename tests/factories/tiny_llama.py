"""A tiny random llama with a byte tokenizer, as a folder that transformers loads; fast enough to train in tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.factories.hf_model import State, safetensors_bytes, tokenizer_json

HIDDEN, INNER, LAYERS, HEADS = 32, 64, 2, 2
VOCABULARY = 267
CHAT_MESSAGE = "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
# Without marks of what the assistant says, as most published templates are.
CHAT = (
    "{% for message in messages %}" + CHAT_MESSAGE + "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def config(**more: Any) -> dict[str, Any]:
    """`config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "eos_token_id": 264,
        **more,
    }


def state(seed: int = 0, layers: int = LAYERS) -> State:
    """Random weights."""
    random = np.random.default_rng(seed)

    def matrix(out: int, into: int) -> Any:
        return (random.standard_normal((out, into)) / np.sqrt(into)).astype(np.float32)

    ones = np.ones(HIDDEN, np.float32)
    found = {
        "model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN),
        "model.norm.weight": ones,
        "lm_head.weight": matrix(VOCABULARY, HIDDEN),
    }
    for layer in range(layers):
        at = f"model.layers.{layer}"
        found |= {f"{at}.{name}_layernorm.weight": ones for name in ("input", "post_attention")}
        found |= {f"{at}.self_attn.{name}_proj.weight": matrix(HIDDEN, HIDDEN) for name in "qkvo"}
        found |= {f"{at}.mlp.{name}_proj.weight": matrix(INNER, HIDDEN) for name in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = matrix(HIDDEN, INNER)
    return found


def write_tokenizer(folder: Path, chat: str | None = CHAT, more: tuple[str, ...] = ()) -> None:
    """The tokenizer's files; `more` texts are tokens of their own, marks (`<…`) among them special ones."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = json.loads(tokenizer_json())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [
        {"id": VOCABULARY + at, "content": text, "special": text.startswith("<")}
        for at, text in enumerate(more)
    ]
    whole["added_tokens"] = [{**flags, **token} for token in whole["added_tokens"] + added]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False, **whole["model"]}
    whole |= {"version": "1.0", "pre_tokenizer": byte_level, "decoder": byte_level, "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    settings = {"eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": chat}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({key: value for key, value in settings.items() if value is not None})
    )


def write_model(
    folder: Path, *, seed: int = 0, dtype: str = "F32", chat: str | None = CHAT, **more: Any
) -> Path:
    """A whole model folder."""
    write_tokenizer(folder, chat)
    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    (folder / "config.json").write_text(json.dumps(config(dtype=names[dtype], **more)))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 264, "max_length": 64}))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(state(seed), dtype))
    return folder
