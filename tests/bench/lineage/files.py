"""Writes models as people publish them: safetensors of several dtypes, in one file or in shards, or GGUF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.bench.lineage import kquants
from tests.bench.lineage.shapes import Shape, Weights, config, to_names

DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "I64": np.dtype("<i8")}


def bf16(values: np.ndarray) -> np.ndarray:
    """The upper halves of float32 values, rounded to even, as uint16. NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def from_bf16(halves: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 halves."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def rounded(plain: Weights) -> Weights:
    """The values that are left of a model stored in bf16."""
    return {name: from_bf16(bf16(value)) for name, value in plain.items()}


def _stored(values: np.ndarray, dtype: str) -> np.ndarray:
    return bf16(values) if dtype == "BF16" else np.ascontiguousarray(values, dtype=DTYPES[dtype])


def write_tensors(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> None:
    """A safetensors file of (dtype, array already in that dtype's form), in the order given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, array) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for _, array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


def write_model(
    folder: Path, plain: Weights, shape: Shape, dtype: str = "BF16", *, shards: int = 1, prefix: bool = True
) -> list[str]:
    """config.json and the weights, under the names of the Hugging Face implementation.

    Without `prefix` the names are those of the bare body (`layers.0...`, `h.0...`), as base models are often saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(shape), indent=2))
    named = to_names(plain, shape)
    if not prefix:
        named = {name.removeprefix("model.").removeprefix("transformer."): v for name, v in named.items()}
    if shards == 1:
        return [_write(folder / "model.safetensors", named, dtype)]
    names = sorted(named)
    files, places = [], {}
    for number, part in enumerate(np.array_split(np.array(names), shards), start=1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        files.append(_write(folder / file, {str(name): named[str(name)] for name in part}, dtype))
        places |= dict.fromkeys(map(str, part), file)
    index = {"metadata": {"total_size": sum(v.size for v in named.values())}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return files


def _write(path: Path, named: Weights, dtype: str) -> str:
    write_tensors(path, {name: (dtype, _stored(value, dtype)) for name, value in named.items()})
    return path.name


_GGUF_LAYER = {
    "attn_norm": "attn_norm.weight", "attn_norm_b": "attn_norm.bias", "q": "attn_q.weight", "k": "attn_k.weight",
    "v": "attn_v.weight", "q_b": "attn_q.bias", "k_b": "attn_k.bias", "v_b": "attn_v.bias",
    "o": "attn_output.weight", "o_b": "attn_output.bias", "mlp_norm": "ffn_norm.weight",
    "mlp_norm_b": "ffn_norm.bias", "gate": "ffn_gate.weight", "up": "ffn_up.weight", "up_b": "ffn_up.bias",
    "down": "ffn_down.weight", "down_b": "ffn_down.bias",
}  # fmt: skip
_GGUF_TOP = {
    "embed": "token_embd.weight", "positions": "position_embd.weight", "final_norm": "output_norm.weight",
    "final_norm_b": "output_norm.bias", "head": "output.weight",
}  # fmt: skip
# What llama.cpp takes where a row is no multiple of 256.
_FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}


def gguf_tensors(plain: Weights, shape: Shape) -> Weights:
    """The tensors under GGUF names, as llama.cpp's converter arranges them: rows of q and k by rotary half (llama),
    query, key and value in one (gpt2), Gemma's norms with one added (they are, in the plain form)."""
    made = {name: plain[part] for part, name in _GGUF_TOP.items() if part in plain}
    for layer in range(shape.layers):
        parts = {part: plain[f"{layer}.{part}"] for part in _GGUF_LAYER if f"{layer}.{part}" in plain}
        if shape.architecture == "llama":
            parts["q"] = _halves(parts["q"], shape.heads)
            parts["k"] = _halves(parts["k"], shape.kv_heads)
        if shape.architecture == "gpt2":
            made[f"blk.{layer}.attn_qkv.weight"] = np.concatenate([parts.pop(part) for part in "qkv"])
            made[f"blk.{layer}.attn_qkv.bias"] = np.concatenate([parts.pop(f"{part}_b") for part in "qkv"])
        made |= {f"blk.{layer}.{_GGUF_LAYER[part]}": value for part, value in parts.items()}
    return made


def _halves(rows: np.ndarray, heads: int) -> np.ndarray:
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def from_gguf_tensors(values: Weights, shape: Shape) -> Weights:
    """The plain form of a llama's GGUF tensors."""
    plain = {part: values[name] for part, name in _GGUF_TOP.items() if name in values}
    for layer in range(shape.layers):
        for part, name in _GGUF_LAYER.items():
            if (value := values.get(f"blk.{layer}.{name}")) is not None:
                plain[f"{layer}.{part}"] = value
        for part, heads in (("q", shape.heads), ("k", shape.kv_heads)):
            rows = plain[f"{layer}.{part}"]
            turned = rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2)
            plain[f"{layer}.{part}"] = turned.reshape(rows.shape)
    return plain


def write_gguf(path: Path, plain: Weights, shape: Shape, type_name: str) -> str:
    """A GGUF file without tokenizer, matrices in `type_name`, norms and biases in F32."""
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(path), shape.architecture)
    writer.add_context_length(128)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_vocab_size(shape.vocabulary)
    for name, value in gguf_tensors(plain, shape).items():
        used = _type_for(value, type_name)
        writer.add_tensor(name, encoded(value, used), raw_dtype=gguf.GGMLQuantizationType[used])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.name


def _type_for(value: np.ndarray, type_name: str) -> str:
    if value.ndim == 1:
        return "F32"
    if value.shape[1] % kquants.BLOCK:
        return _FALLBACK.get(type_name, type_name)
    return type_name


def encoded(value: np.ndarray, type_name: str) -> np.ndarray:
    """A matrix as GGUF stores it."""
    from gguf import GGMLQuantizationType, quants

    value = np.ascontiguousarray(value, dtype=np.float32)
    if type_name == "Q4_K":
        return kquants.q4_k(value)
    if type_name == "Q6_K":
        return kquants.q6_k(value)
    return quants.quantize(value, GGMLQuantizationType[type_name])


def through(plain: Weights, type_name: str) -> Weights:
    """The values that a quantised copy has, as someone who turns a GGUF back into floats publishes them."""
    from gguf import GGMLQuantizationType, quants

    made = {}
    for name, value in plain.items():
        used = _type_for(value, type_name)
        made[name] = quants.dequantize(encoded(value, used), GGMLQuantizationType[used]).astype(np.float32)
    return made
