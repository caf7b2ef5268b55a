"""A random llama-architecture GGUF of some 300 kB that really generates.

Every embedding has a large first component, and the output rows of the tokens that must not appear
(bytes, markers) are strongly negative there: the model babbles lower-case letters and never stops by
itself, whatever the random rest is.
"""

from __future__ import annotations

import string
from pathlib import Path

import gguf
import numpy as np

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace(
    "{{ message['content'] }}",
    "{% if message.reasoning_content %}<think>\n{{ message.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ message['content'] }}",
).replace("assistant\n{%", "assistant\n<think>\n{%")
_WIDTH, _LAYERS, _HEADS, _KV_HEADS, _FEED_FORWARD = 64, 2, 4, 2, 128


def write_tiny_llama(
    path: Path,
    *,
    context_tokens: int = 512,
    chat_template: str = CHATML,
    seed: int = 0,
    architecture: str = "llama",
) -> Path:
    """Write the model to `path` and return it."""
    tokens, kinds = _vocabulary()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(chat_template)
    for name, tensor in _tensors(len(tokens), seed).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[str], list[int]]:
    kind = gguf.TokenType
    markers = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    octets = [f"<0x{value:02X}>" for value in range(256)]
    letters = [*string.ascii_lowercase, "\u2581"]
    kinds = [kind.UNKNOWN] + [kind.CONTROL] * 4 + [kind.BYTE] * 256 + [kind.NORMAL] * len(letters)
    return markers + octets + letters, [int(one) for one in kinds]


def _tensors(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)

    def weights(rows: int, columns: int) -> np.ndarray:
        return random.normal(0, 0.1, (rows, columns)).astype(np.float32)

    embedding, output = weights(vocabulary, _WIDTH), weights(vocabulary, _WIDTH)
    embedding[:, 0] = 4.0
    output[:, 0] = -20.0
    output[-27:, 0] = 0.0  # letters
    ones = np.ones(_WIDTH, np.float32)
    tensors = {"token_embd.weight": embedding, "output.weight": output, "output_norm.weight": ones}
    kv_width = _WIDTH // _HEADS * _KV_HEADS
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        tensors |= {
            f"{block}.attn_norm.weight": ones,
            f"{block}.attn_q.weight": weights(_WIDTH, _WIDTH),
            f"{block}.attn_k.weight": weights(kv_width, _WIDTH),
            f"{block}.attn_v.weight": weights(kv_width, _WIDTH),
            f"{block}.attn_output.weight": weights(_WIDTH, _WIDTH),
            f"{block}.ffn_norm.weight": ones,
            f"{block}.ffn_gate.weight": weights(_FEED_FORWARD, _WIDTH),
            f"{block}.ffn_up.weight": weights(_FEED_FORWARD, _WIDTH),
            f"{block}.ffn_down.weight": weights(_WIDTH, _FEED_FORWARD),
        }
    return tensors
