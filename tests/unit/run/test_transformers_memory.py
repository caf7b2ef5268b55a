"""What transformers needs of memory, by the config."""

from __future__ import annotations

from typing import Any

import pytest

from seedstock.core.errors import ModelNotRunnable, UnsupportedFormat
from seedstock.run.engines.transformers_memory import LIBRARIES_BYTES, estimate

GPT2 = {"n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
PARAMETERS = 124_000_000


def test_float32_comes_first_then_a_shorter_context_then_bfloat16() -> None:
    config = GPT2 | {"n_positions": 8192}
    whole, dtype = estimate(config, PARAMETERS, 1 << 40)
    assert (dtype, whole.context_tokens) == ("float32", 8192)
    assert whole.weights_bytes == 4 * PARAMETERS
    assert whole.cache_bytes == 4 * 8192 * 2 * 12 * 768 * 4
    shorter, dtype = estimate(config, PARAMETERS, whole.total_bytes - 1)
    assert (dtype, shorter.context_tokens) == ("float32", 4096)
    least, _ = estimate(config, PARAMETERS, 0)
    assert (least.context_tokens, least.weights_bytes) == (2048, 2 * PARAMETERS)
    with pytest.raises(ModelNotRunnable, match="GB"):
        least.check(LIBRARIES_BYTES)


def test_nested_and_grouped_shapes() -> None:
    text = {
        "max_position_embeddings": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    grouped = {"text_config": text | {"num_key_value_heads": 1, "head_dim": 16}}
    found, _ = estimate(grouped, 1000, 1 << 40)
    assert found.cache_bytes == 4 * 64 * 2 * 2 * 16 * 4


@pytest.mark.parametrize(
    "config",
    [{}, {"hidden_size": "x", "num_hidden_layers": 2}, GPT2 | {"n_layer": 1 << 40}, {"n_embd": True}],
)
def test_a_config_without_a_shape_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFormat, match=r"config\.json"):
        estimate(config, 1, 1 << 40)
