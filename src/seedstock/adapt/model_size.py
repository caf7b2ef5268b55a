"""How large a model is to training, from headers or a configuration alone; no weight is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.metadata.source import LocalFile
from seedstock.weights.checkpoint import Checkpoint, open_checkpoint

MAX_CONFIG_BYTES = 16 << 20
MAX_SIZE = 1 << 24
"""Of any one number of a configuration."""
_LAYER = re.compile(r"(?:^|\.)(?:layers|blk|h|blocks|block)\.(\d+)\.")
_EMBEDDING = re.compile(r"embed_tokens|token_embd|\bwte\b|embed_in|word_embeddings")
_EXPERT = re.compile(r"\.experts?\.|_exps\.")


class Linear(msgspec.Struct, frozen=True):
    """A matrix inside a layer, (out, in)."""

    name: str
    outputs: int
    inputs: int


class ModelSize(msgspec.Struct, frozen=True, kw_only=True):
    """What memory and time depend on."""

    parameters: int
    active: int
    """Parameters that one token meets: fewer in a mixture of experts."""
    layers: int
    hidden: int
    vocabulary: int
    linears: tuple[Linear, ...]
    """The matrices of all layers, which adapters go on and activations pass."""
    key_value: int = 0
    """Width of the keys of one layer, 0 if unknown."""

    def lora_parameters(self, r: int, targets: str | list[str] = "all-linear") -> int:
        """Parameters that low-rank adapters of rank `r` add."""
        chosen = self.linears
        if not isinstance(targets, str):
            chosen = tuple(one for one in chosen if any(target in one.name.split(".") for target in targets))
        return sum(r * (one.inputs + one.outputs) for one in chosen)

    @property
    def activations_per_token(self) -> int:
        """Elements that the backward pass needs of one token: what goes into and out of every matrix."""
        dense = sum(one.inputs + one.outputs for one in self.linears)
        return dense * self.active // max(self.parameters, 1)


def read_model_size(base: Path) -> ModelSize:
    """The size of the model in a folder, by its safetensors or GGUF headers. Raises Invalid where there is none."""
    names = _weight_files(base)
    readers = {name: LocalFile(base / name) for name in names}
    try:
        checkpoint = open_checkpoint(readers)
        return size_from_headers(checkpoint, read_config(base))
    finally:
        for reader in readers.values():
            reader.close()


def size_of_architecture(config: Mapping[str, Any], vocabulary: int = 0) -> ModelSize:
    """The size of a decoder that is described by a `config.json`, for models made from scratch."""
    hidden, layers = _number(config, "hidden_size", 64), _number(config, "num_hidden_layers", 2)
    heads = _number(config, "num_attention_heads", max(1, hidden // 64))
    keys = _number(config, "num_key_value_heads", heads) * _number(
        config, "head_dim", max(1, hidden // heads)
    )
    inner = _number(config, "intermediate_size", 4 * hidden)
    vocabulary = vocabulary or _number(config, "vocab_size", 32_000)
    width = _number(config, "head_dim", max(1, hidden // heads)) * heads
    one = [
        ("q_proj", width, hidden), ("k_proj", keys, hidden), ("v_proj", keys, hidden), ("o_proj", hidden, width),
        ("gate_proj", inner, hidden), ("up_proj", inner, hidden), ("down_proj", hidden, inner),
    ]  # fmt: skip
    linears = tuple(
        Linear(f"layers.{at}.{name}", out, into) for at in range(layers) for name, out, into in one
    )
    tied = config.get("tie_word_embeddings", True) is True
    parameters = sum(part.outputs * part.inputs for part in linears) + vocabulary * hidden * (
        1 if tied else 2
    )
    return ModelSize(
        parameters=parameters,
        active=parameters,
        layers=layers,
        hidden=hidden,
        vocabulary=vocabulary,
        linears=linears,
        key_value=keys,
    )


def read_config(base: Path) -> dict[str, Any]:
    """The base's config.json; empty where there is none. Raises Invalid if it is no JSON object."""
    path = base / "config.json"
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise Invalid(f"config.json is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Invalid("The base's config.json is no JSON object") from None


def _weight_files(base: Path) -> list[str]:
    names = sorted(path.name for path in base.iterdir() if path.is_file()) if base.is_dir() else []
    shards = [name for name in names if name.endswith(".safetensors") and not name.startswith("adapter")]
    own = [name for name in shards if name.startswith("model")]
    ggufs = [name for name in names if name.lower().endswith(".gguf")]
    # Several GGUF files are one model in several types, unless they are parts of one.
    parts = [name for name in ggufs if "-of-" in name]
    found = own or shards or parts or ggufs[:1]
    if not found:
        raise Invalid("The base holds no weights", hint="It needs .safetensors files or a .gguf")
    return found


def size_from_headers(checkpoint: Checkpoint, config: Mapping[str, Any]) -> ModelSize:
    """The size of a model whose headers are open; `config` may be empty. Raises UnsupportedFormat."""
    layers: set[int] = set()
    linears, embedding, experts = [], (0, 0), 0
    for name, info in checkpoint.tensors.items():
        found = _LAYER.search(name)
        if found is None:
            if len(info.shape) == 2 and _EMBEDDING.search(name):
                embedding = (info.shape[0], info.shape[1])
            continue
        layers.add(int(found[1]))
        if _EXPERT.search(name):
            experts += info.elements
        if len(info.shape) == 2:
            linears.append(Linear(name.removesuffix(".weight"), info.shape[0], info.shape[1]))
    if not layers or not linears or embedding == (0, 0):
        raise UnsupportedFormat(
            "The base's tensors are not those of a language model",
            hint="Nothing can be told of memory and time",
        )
    keys = next((one.outputs for one in linears if "k_proj" in one.name or "attn_k" in one.name), 0)
    return ModelSize(
        parameters=checkpoint.elements,
        active=checkpoint.elements - experts + round(experts * _expert_share(config)),
        layers=len(layers),
        hidden=embedding[1],
        vocabulary=embedding[0],
        linears=tuple(linears),
        key_value=keys,
    )


def _expert_share(config: Mapping[str, Any]) -> float:
    """The part of the experts that one token meets; all, where the configuration does not say."""
    count = next(
        (config[key] for key in ("num_local_experts", "num_experts", "n_routed_experts") if key in config), 0
    )
    used = config.get("num_experts_per_tok", 0)
    known = isinstance(count, int) and isinstance(used, int) and 0 < used <= count
    return used / count if known else 1.0


def _number(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_SIZE:
        raise Invalid(f"`{key}` of the architecture is no number from 1 to {MAX_SIZE}")
    return value
