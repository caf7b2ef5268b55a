"""What vLLM needs of memory, by the config."""

from __future__ import annotations

import pytest

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.vllm_memory import LIBRARIES_BYTES, SLOTS, estimate

LLAMA = {
    "max_position_embeddings": 8192,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
}
PARAMETERS = 134_515_008
CELL = 2 * 30 * 3 * 64


def test_the_pool_shrinks_first_then_the_context_then_the_type() -> None:
    whole, dtype = estimate(LLAMA, PARAMETERS, 1 << 40, gpu=False)
    assert (dtype, whole.context_tokens, whole.slots) == ("float32", 8192, SLOTS)
    assert whole.weights_bytes == 4 * PARAMETERS
    assert whole.cache_bytes == 8 * 8192 * CELL * 4
    less, dtype = estimate(LLAMA, PARAMETERS, whole.total_bytes - 1, gpu=False)
    assert (dtype, less.context_tokens, less.cache_bytes) == ("float32", 8192, whole.cache_bytes // 2)
    one = less.total_bytes - less.cache_bytes + whole.cache_bytes // 8
    shorter, dtype = estimate(LLAMA, PARAMETERS, one - 1, gpu=False)
    assert (dtype, shorter.context_tokens) == ("float32", 4096)
    least, dtype = estimate(LLAMA, PARAMETERS, 0, gpu=False)
    assert (dtype, least.context_tokens, least.cache_bytes) == ("bfloat16", 2048, 2048 * CELL * 2)
    with pytest.raises(ModelNotRunnable, match="GB"):
        least.check(LIBRARIES_BYTES)


def test_a_card_computes_in_16_bits_and_a_context_that_is_asked_for_stays() -> None:
    found, dtype = estimate(LLAMA, PARAMETERS, 1 << 40, 1000, gpu=True)
    assert (dtype, found.weights_bytes, found.context_tokens) == ("bfloat16", 2 * PARAMETERS, 1000)
    assert estimate(LLAMA, PARAMETERS, 0, 1000, gpu=True)[0].context_tokens == 1000
