"""Tiny language models as weight files: llama-like or GPT-2-like tensors in numpy, and what people do to them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import Checkpoint, open_checkpoint
from seedstock.weights.elements import round_bf16

Tensors = dict[str, np.ndarray]
WIDTH, NEURONS, LAYERS, VOCABULARY, HEADS, KV_HEADS = 64, 160, 4, 512, 4, 2
NORMS = ("input_layernorm", "post_attention_layernorm")


def llama(seed: int, layers: int = LAYERS, width: int = WIDTH, neurons: int = NEURONS) -> Tensors:
    """Weights under Hugging Face names, as bfloat16 holds them; rows and columns differ in size as trained ones do."""
    rng = np.random.default_rng(seed)
    head = width // HEADS

    def matrix(rows: int, columns: int) -> np.ndarray:
        grain = np.exp(0.3 * rng.standard_normal((rows, 1)) + 0.3 * rng.standard_normal((1, columns)))
        return (0.05 * grain * rng.standard_normal((rows, columns))).astype(np.float32)

    made = {"model.embed_tokens.weight": matrix(VOCABULARY, width), "model.norm.weight": _norm(rng, width)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in [
            ("self_attn.q_proj", width, width), ("self_attn.k_proj", KV_HEADS * head, width),
            ("self_attn.v_proj", KV_HEADS * head, width), ("self_attn.o_proj", width, width),
            ("mlp.gate_proj", neurons, width), ("mlp.up_proj", neurons, width), ("mlp.down_proj", width, neurons),
        ]:  # fmt: skip
            made[f"{prefix}{name}.weight"] = matrix(rows, columns)
        for name in NORMS:
            made[f"{prefix}{name}.weight"] = _norm(rng, width)
    return {name: round_bf16(value) for name, value in made.items()}


def gpt2(seed: int, layers: int = 3, width: int = WIDTH) -> Tensors:
    """Weights under GPT-2's names, every matrix stored (in, out)."""
    rng = np.random.default_rng(seed)
    made = {"wte.weight": rng.standard_normal((VOCABULARY, width)) * 0.05, "ln_f.weight": _norm(rng, width)}
    for layer in range(layers):
        prefix = f"h.{layer}."
        for name, rows, columns in [
            ("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width), ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ]:  # fmt: skip
            made[f"{prefix}{name}.weight"] = rng.standard_normal((rows, columns)) * 0.05
        made[f"{prefix}ln_1.weight"] = made[f"{prefix}ln_2.weight"] = _norm(rng, width)
    return {name: round_bf16(value.astype(np.float32)) for name, value in made.items()}


def _norm(rng: np.random.Generator, width: int) -> np.ndarray:
    return np.exp(0.2 * rng.standard_normal(width)).astype(np.float32)


def changed(model: Tensors, change: Callable[[str, np.ndarray], np.ndarray]) -> Tensors:
    """The model with each tensor changed and rounded to bfloat16."""
    return {name: round_bf16(change(name, value).astype(np.float32)) for name, value in model.items()}


def tuned(model: Tensors, seed: int, size: float = 0.02) -> Tensors:
    """A full fine-tune: every weight moves by about `size` of the tensor's deviation."""
    rng = np.random.default_rng([seed, 1])
    return changed(
        model,
        lambda _, value: value + size * value.std() * rng.standard_normal(value.shape, dtype=np.float32),
    )


def with_lora(model: Tensors, seed: int, rank: int = 4, size: float = 0.1) -> Tensors:
    """A merged adapter on the query and value projections."""
    rng = np.random.default_rng([seed, 2])

    def change(name: str, value: np.ndarray) -> np.ndarray:
        if not name.endswith(("q_proj.weight", "v_proj.weight")):
            return value
        up, down = rng.standard_normal((len(value), rank)), rng.standard_normal((rank, value.shape[1]))
        return value + size * value.std() / np.sqrt(rank) * up @ down

    return changed(model, change)


def by_layer(model: Tensors, kept: list[int]) -> Tensors:
    """The model with these layers in this order."""
    made = {name: value for name, value in model.items() if ".layers." not in name}
    for place, layer in enumerate(kept):
        prefix = f"model.layers.{layer}."
        made |= {
            f"model.layers.{place}.{name.removeprefix(prefix)}": value
            for name, value in model.items()
            if name.startswith(prefix)
        }
    return made


def with_neurons(model: Tensors, order: Callable[[int], np.ndarray]) -> Tensors:
    """MLP neurons of each layer picked or reordered by `order(layer)`."""
    made, orders = dict(model), dict[int, np.ndarray]()
    for name, value in model.items():
        if ".mlp." in name:
            layer = int(name.split(".")[2])
            if layer not in orders:
                orders[layer] = order(layer)
            picked = orders[layer]
            made[name] = value[:, picked] if "down_proj" in name else value[picked]
    return made


def with_channels(model: Tensors, order: np.ndarray) -> Tensors:
    """The residual stream in another order."""
    return {
        name: value[order] if value.ndim == 1 or "o_proj" in name or "down_proj" in name else value[:, order]
        for name, value in model.items()
    }


def rotated(model: Tensors, seed: int) -> Tensors:
    """The residual stream in another orthonormal basis, norms folded in."""
    rng = np.random.default_rng([seed, 3])
    basis = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
    made = {}
    for name, value in model.items():
        layer = ".".join(name.split(".")[:3])
        if value.ndim == 1:
            made[name] = np.ones_like(value)
        elif "o_proj" in name or "down_proj" in name:
            made[name] = basis.T @ value
        elif "embed" in name:
            made[name] = value @ basis
        else:
            norm = NORMS[1] if ".mlp." in name else NORMS[0]
            made[name] = value * model[f"{layer}.{norm}.weight"] @ basis
    return {name: round_bf16(value.astype(np.float32)) for name, value in made.items()}


def rescaled(model: Tensors, seed: int) -> Tensors:
    """Factors moved from norms into the matrices that read them, and from up into down."""
    rng = np.random.default_rng([seed, 4])
    made = dict(model)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for norm, readers in (
            (NORMS[0], ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            (NORMS[1], ("mlp.gate_proj", "mlp.up_proj")),
        ):
            factor = np.exp(rng.uniform(-0.7, 0.7, WIDTH))
            made[f"{prefix}{norm}.weight"] = made[f"{prefix}{norm}.weight"] * factor
            for reader in readers:
                made[f"{prefix}{reader}.weight"] = made[f"{prefix}{reader}.weight"] / factor
    return {name: round_bf16(value.astype(np.float32)) for name, value in made.items()}


def safetensors_of(tensors: Mapping[str, np.ndarray], dtype: str = "BF16") -> bytes:
    """A safetensors file; dtype BF16, F16 or F32."""
    header: dict[str, object] = {}
    parts, position = [], 0
    for name, value in tensors.items():
        if dtype == "BF16":
            raw = (round_bf16(value.astype(np.float32)).view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            raw = value.astype({"F16": "<f2", "F32": "<f4"}[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": value.shape, "data_offsets": [position, position + len(raw)]}
        parts.append(raw)
        position += len(raw)
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(parts)


_GGUF_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def gguf_of(tensors: Mapping[str, np.ndarray], type_name: str) -> bytes:
    """The llama as GGUF, as the converter of llama.cpp writes it: rows of q and k in rotary order, norms in F32."""
    import gguf

    kind = gguf.GGMLQuantizationType[type_name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = gguf.GGUFWriter(str(path), "llama")
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KV_HEADS)
        for name, value in tensors.items():
            stored = np.ascontiguousarray(_rotary(name, value), dtype=np.float32)
            if value.ndim == 1 or type_name == "F32":
                writer.add_tensor(_gguf_name(name), stored)
            else:
                raw = gguf.quants.quantize(stored, kind)
                writer.add_tensor(_gguf_name(name), raw, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def _gguf_name(name: str) -> str:
    if ".layers." not in name:
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[
            name
        ]
    _, _, layer, *rest = name.split(".")
    return f"blk.{layer}.{_GGUF_NAMES['.'.join(rest[:-1])]}.weight"


def _rotary(name: str, value: np.ndarray) -> np.ndarray:
    heads = HEADS if "q_proj" in name else KV_HEADS if "k_proj" in name else 0
    if not heads:
        return value
    return value.reshape(heads, 2, -1, value.shape[1]).swapaxes(1, 2).reshape(value.shape)


def opened(*files: bytes) -> Checkpoint:
    """One model of these files."""
    suffix = "gguf" if files[0][:4] == b"GGUF" else "safetensors"
    return open_checkpoint({f"{index}.{suffix}": BytesReader(data) for index, data in enumerate(files)})


def model(tensors: Mapping[str, np.ndarray], dtype: str = "BF16") -> Checkpoint:
    """Tensors as an opened safetensors file."""
    return opened(safetensors_of(tensors, dtype))
