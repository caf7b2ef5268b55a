"""A random llama-architecture GGUF of some 300 kB that really generates.

Every embedding has a large first component, and the output rows of the tokens that must not appear
(bytes, markers) are strongly negative there: the model babbles lower-case letters and never stops by
itself, whatever the random rest is.
"""

from __future__ import annotations

import string
from itertools import pairwise
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
TOOLS = """\
{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n<tools>' }}
    {%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
    {{- '\\n</tools>\\nAnswer with <tool_call>\\n{"name": NAME, "arguments": OBJECT}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
"""The way that Qwen, Hermes and others have tools called."""
_WIDTH, _LAYERS, _HEADS, _KV_HEADS, _FEED_FORWARD = 64, 2, 4, 2, 128


def write_tiny_llama(
    path: Path,
    *,
    context_tokens: int = 512,
    chat_template: str = CHATML,
    seed: int = 0,
    architecture: str = "llama",
    script: tuple[str, ...] = (),
    pooling: gguf.PoolingType | None = None,
) -> Path:
    """Write the model to `path` and return it.

    With a `script` of distinct pieces it says just those, in their order, at temperature 0 after any prompt
    that ends in a line break. A space is a space then, not put before every text.
    """
    tokens, kinds = _vocabulary(script)
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
    if script:
        writer.add_add_space_prefix(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    tensors = _tensors(len(tokens), seed)
    for name, tensor in (tensors | _scripted(tokens, script) if script else tensors).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary(script: tuple[str, ...]) -> tuple[list[str], list[int]]:
    kind = gguf.TokenType
    markers = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    octets = [f"<0x{value:02X}>" for value in range(256)]
    letters = [*string.ascii_lowercase, "\u2581"]
    pieces = [piece.replace(" ", "\u2581") for piece in script]
    kinds = [kind.UNKNOWN] + [kind.CONTROL] * 4 + [kind.BYTE] * 256 + [kind.NORMAL] * len(letters + pieces)
    return markers + octets + pieces + letters, [int(one) for one in kinds]


def _scripted(tokens: list[str], script: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Tensors of a chain: a line break is followed by the first piece, each piece by the next, the last by the end."""
    directions = np.linalg.qr(np.random.default_rng(1).normal(size=(_WIDTH, _WIDTH)))[0].astype(np.float32)
    embedding, output = np.zeros((2, len(tokens), _WIDTH), np.float32)
    embedding[:] = directions[-1]
    first = tokens.index("<0xFF>") + 1
    chain = [tokens.index("<0x0A>"), *range(first, first + len(script)), tokens.index("</s>")]
    for at, (token, following) in enumerate(pairwise(chain)):
        embedding[token] = directions[at]
        output[following] = 10 * directions[at]
    silent = {
        f"blk.{layer}.{name}.weight": np.zeros((_WIDTH, width), np.float32)
        for layer in range(_LAYERS)
        for name, width in (("attn_output", _WIDTH), ("ffn_down", _FEED_FORWARD))
    }
    return {"token_embd.weight": embedding, "output.weight": output, **silent}


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
