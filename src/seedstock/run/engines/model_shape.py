"""What of a model's shape its config.json tells, whatever the architecture calls it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.safetensors_header import read_safetensors_header
from seedstock.metadata.source import LocalFile

_MAX_LAYERS = 65_536
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers")
WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
"""What configs call the width."""
_INNER = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads")
_DEFAULT_CONTEXT = 2048
"""Of models that name none: those without positions."""


class Shape(msgspec.Struct, frozen=True):
    """What decides how much memory a model takes beside its weights."""

    layers: int
    width: int
    inner: int
    """Of the feed-forward layers."""
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    trained_tokens: int

    @property
    def cell_elements(self) -> int:
        """Keys and values of one token, with every layer treated as full attention."""
        return 2 * self.layers * self.kv_heads * self.head_width


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape of the part that writes. Raises UnsupportedFormat for a config that lacks what is needed."""
    text = config.get("text_config")
    values = {**config, **text} if isinstance(text, Mapping) else config
    layers, width, heads = number(values, _LAYERS), number(values, WIDTH), number(values, _HEADS, 1)
    if layers > _MAX_LAYERS:
        raise UnsupportedFormat(f"config.json names {layers} layers, more than {_MAX_LAYERS}")
    return Shape(
        layers=layers,
        width=width,
        inner=number(values, _INNER, 4 * width),
        heads=heads,
        kv_heads=number(values, ("num_key_value_heads", "num_kv_heads"), heads),
        head_width=number(values, ("head_dim",), max(1, width // heads)),
        vocabulary=number(values, ("vocab_size",), 1 << 18),
        trained_tokens=number(values, _CONTEXT, _DEFAULT_CONTEXT),
    )


def read_folder(folder: Path) -> tuple[dict[str, Any], int]:
    """The config of a model folder, and the number of its parameters, from headers. Raises UnsupportedFormat."""
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UnsupportedFormat(f"config.json cannot be read: {error}") from None
    return config, sum(_parameters(path) for path in sorted(folder.glob("*.safetensors")))


def _parameters(path: Path) -> int:
    with closing(LocalFile(path)) as file:
        return sum(tensor.parameters for tensor in read_safetensors_header(file).tensors)


def number(values: Mapping[str, Any], names: tuple[str, ...], default: int | None = None) -> int:
    """A positive number of a config under the first of some names that it has. Raises UnsupportedFormat without a default."""
    for name in names:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    if default is None:
        raise UnsupportedFormat(f"config.json lacks {names[0]}, so the model's memory cannot be foreseen")
    return default
