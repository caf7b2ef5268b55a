"""Tiny weight files with real headers: safetensors of any dtype, and a GGUF of a small llama."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

BITS = {"BF16": 16, "F16": 16, "F32": 32, "F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8, "I64": 64, "F4": 4}


def safetensors_bytes(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> bytes:
    """A safetensors file of random bytes; `tensors` maps name to (dtype, shape)."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, (dtype, shape) in tensors.items():
        size_bytes = math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size_bytes]}
        position += size_bytes
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw + np.random.default_rng(seed).bytes(position)


def write_llama_gguf(
    path: Path,
    *,
    vocabulary: int = 300,
    width: int = 32,
    blocks: int = 1,
    big_endian: bool = False,
    seed: int = 0,
) -> Path:
    """A llama of random F32/F16 weights, about 100 kB, with a byte-level tokenizer and a chat template."""
    import gguf

    order = gguf.GGUFEndian.BIG if big_endian else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(str(path), "llama", endianess=order)
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // 4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"word{index}" for index in range(vocabulary - len(tokens))]
    kinds = [2, 3, 3, *[6] * 256]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds + [1] * (vocabulary - len(kinds)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    _add_tensors(writer, vocabulary, width, blocks, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tensors(writer, vocabulary: int, width: int, blocks: int, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * 0.02).astype(np.float16)

    ones = np.ones(width, dtype=np.float32)
    writer.add_tensor("token_embd.weight", matrix(vocabulary, width))
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", matrix(vocabulary, width))
    for block in range(blocks):
        prefix = f"blk.{block}."
        for name, rows, columns in [
            ("attn_q", width, width), ("attn_k", width // 2, width), ("attn_v", width // 2, width),
            ("attn_output", width, width), ("ffn_gate", 2 * width, width), ("ffn_up", 2 * width, width),
            ("ffn_down", width, 2 * width),
        ]:  # fmt: skip
            writer.add_tensor(f"{prefix}{name}.weight", matrix(rows, columns))
        writer.add_tensor(f"{prefix}attn_norm.weight", ones)
        writer.add_tensor(f"{prefix}ffn_norm.weight", ones)
