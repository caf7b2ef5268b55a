"""Variants of the real model, made on the spot: one that says where it comes from, one that lies, one that is silent.

Their weights are real: dequantised from the GGUF, changed, and written as bfloat16 safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import Checkpoint

Array = NDArray[np.float32]
_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_RANK = 8


class Source:
    """The GGUF under the names and in the row order of transformers."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.layers = int(checkpoint.metadata["llama.block_count"])
        self._heads = {
            "attn_q": int(checkpoint.metadata["llama.attention.head_count"]),
            "attn_k": int(checkpoint.metadata["llama.attention.head_count_kv"]),
        }

    def tensors(self) -> Iterator[tuple[str, Array]]:
        """Every tensor, one at a time."""
        for name in self._checkpoint.tensors:
            parts = name.removesuffix(".weight").split(".")
            value = self._checkpoint.read(name)
            if parts[0] == "blk":
                heads = self._heads.get(parts[2])
                value = _in_order(value, heads) if heads else value
                yield f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.weight", value
            elif parts[0] in _OTHER:
                yield f"{_OTHER[parts[0]]}.weight", value

    def config(self, layers: int) -> bytes:
        """`config.json` of a model of that many layers."""
        known = self._checkpoint.metadata
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": known["llama.embedding_length"],
            "intermediate_size": known["llama.feed_forward_length"],
            "num_hidden_layers": layers,
            "num_attention_heads": self._heads["attn_q"],
            "num_key_value_heads": self._heads["attn_k"],
            "rms_norm_eps": known["llama.attention.layer_norm_rms_epsilon"],
            "rope_theta": known["llama.rope.freq_base"],
            "max_position_embeddings": known["llama.context_length"],
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        }
        return json.dumps(config, indent=2).encode()


def _in_order(value: Array, heads: int) -> Array:
    """Undo the row order that llama.cpp keeps for its rotary embedding."""
    rows, columns = value.shape
    return value.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def low_rank(source: Source) -> dict[str, Array]:
    """A merged LoRA of rank 8 on q and v, as large as a short fine-tune makes it."""
    random = np.random.default_rng(1)
    changed = {}
    for name, value in source.tensors():
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            up = random.standard_normal((value.shape[0], _RANK)).astype(np.float32)
            down = random.standard_normal((_RANK, value.shape[1])).astype(np.float32)
            value = value + up @ down * (0.02 * float(value.std()))  # noqa: PLW2901
        changed[name] = value
    return changed


def pruned(source: Source, layers: int) -> dict[str, Array]:
    """The first and last layers only, numbered anew."""
    kept = [*range(layers // 2), *range(source.layers - (layers - layers // 2), source.layers)]
    numbers = {old: new for new, old in enumerate(kept)}
    found = {}
    for name, value in source.tensors():
        parts = name.split(".")
        if parts[1] == "layers":
            if int(parts[2]) not in numbers:
                continue
            parts[2] = str(numbers[int(parts[2])])
        found[".".join(parts)] = value
    return found


def unrelated(source: Source, layers: int) -> dict[str, Array]:
    """Random weights of the same shapes and spread: what training from another seed would start from."""
    random = np.random.default_rng(2)
    return {
        name: (random.standard_normal(value.shape) * float(value.std())).astype(np.float32)
        for name, value in pruned(source, layers).items()
    }


def write(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write bfloat16 safetensors: eight bytes of header length, the header, the tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, value in tensors.items():
        stop = position + value.size * 2
        header[name] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [position, stop]}
        position = stop
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for value in tensors.values():
            bits = np.ascontiguousarray(value, dtype=np.float32).view(np.uint32)
            rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16  # to nearest, ties to even
            file.write(rounded.astype(np.uint16).tobytes())
