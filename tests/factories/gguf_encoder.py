"""A random BERT of some 100 kB that embeds texts of lower-case words of one letter."""

from __future__ import annotations

import string
from pathlib import Path

import gguf
import numpy as np

_WIDTH, _FEED_FORWARD, _CONTEXT = 64, 128, 128


def write_tiny_bert(path: Path, *, pooling: gguf.PoolingType = gguf.PoolingType.MEAN) -> Path:
    """Write the model to `path` and return it."""
    words = [f"\u2581{letter}" for letter in string.ascii_lowercase]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *string.ascii_lowercase]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_type_count(2)
    writer.add_token_types(
        [int(gguf.TokenType.CONTROL)] * 4 + [int(gguf.TokenType.NORMAL)] * (len(tokens) - 4)
    )
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    for name, tensor in _tensors(len(tokens)).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(vocabulary: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    tensors = {
        "token_embd.weight": weights(vocabulary, _WIDTH),
        "position_embd.weight": weights(_CONTEXT, _WIDTH),
        "token_types.weight": weights(2, _WIDTH),
    }
    rows = {
        "attn_q": _WIDTH,
        "attn_k": _WIDTH,
        "attn_v": _WIDTH,
        "attn_output": _WIDTH,
        "ffn_up": _FEED_FORWARD,
    }
    for name, count in rows.items():
        tensors |= {f"blk.0.{name}.weight": weights(count, _WIDTH), f"blk.0.{name}.bias": weights(count)}
    tensors |= {
        "blk.0.ffn_down.weight": weights(_WIDTH, _FEED_FORWARD),
        "blk.0.ffn_down.bias": weights(_WIDTH),
    }
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors |= {
            f"{name}.weight": np.ones(_WIDTH, np.float32),
            f"{name}.bias": np.zeros(_WIDTH, np.float32),
        }
    return tensors
