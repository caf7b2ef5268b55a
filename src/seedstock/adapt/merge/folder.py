"""What lies beside the weights: the configuration, fitted to the result, and the tokenizer's files as they are."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.merge.model import Model
from seedstock.adapt.merge.shards import Entry
from seedstock.core.errors import UnsupportedFormat

COPIED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)
MAX_FILE_BYTES = 256 << 20
MAX_TEMPLATES = 64
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def write_config(folder: Path, config: dict[str, Any], entries: Sequence[Entry], tied: bool) -> None:
    """`config.json` with the element type that most of the result has, and whether the head is the embedding."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.dtype] += entry.elements
    config = dict(config)
    name = _NAMES.get(counts.most_common(1)[0][0])
    key = "torch_dtype" if "torch_dtype" in config and "dtype" not in config else "dtype"
    if name:
        config[key] = name
    if config.get("tie_word_embeddings", tied) is not tied:
        config["tie_word_embeddings"] = tied
    (folder / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")


def stacked_config(config: dict[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """The configuration of a model whose layers are those of another in a new order; lists with an entry per layer follow."""
    holder = config.get("text_config") if isinstance(config.get("text_config"), dict) else None
    inner = holder if holder is not None and not any(key in config for key in _LAYER_COUNTS) else config
    key = next((key for key in _LAYER_COUNTS if isinstance(inner.get(key), int)), None)
    if key is None:
        raise UnsupportedFormat(
            f"config.json does not say how many layers there are ({', '.join(_LAYER_COUNTS)})"
        )
    before = inner[key]
    changed = {
        name: [value[at] for at in layers]
        if isinstance(value, list) and len(value) == before and max(layers) < before and "layer" in name
        else value
        for name, value in inner.items()
    } | {key: len(layers)}
    return changed if inner is config else {**config, "text_config": changed}


def copy_files(source: Path, folder: Path) -> None:
    """The tokenizer, chat templates and settings of generation."""
    for pattern in COPIED:
        for path in sorted(source.glob(pattern))[:MAX_TEMPLATES]:
            if not path.is_file():
                continue
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UnsupportedFormat(f"{path.name} has more than {MAX_FILE_BYTES} bytes")
            target = folder / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o644)


def other_tokenizers(first: Model, others: Sequence[Model]) -> list[str]:
    """Models whose `tokenizer.json` is not the first's: their rows of the embedding may mean other tokens."""
    own = _content(first)
    return [model.role for model in others if own is not None and _content(model) not in {None, own}]


def _content(model: Model) -> bytes | None:
    path = model.folder / "tokenizer.json"
    return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_FILE_BYTES else None
