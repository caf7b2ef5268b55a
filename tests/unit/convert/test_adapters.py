"""A converted adapter computes in llama.cpp what the base with the adapter merged in does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedstock.core.errors import UnsupportedFormat
from tests.factories.hf_model import State, config, logits, safetensors_bytes, weights
from tests.factories.lora import adapter_config, adapter_weights, merged
from tests.unit.convert.conftest import Ask, convert, convert_adapter, model_files

PROMPT = [10, 77, 200, 34, 259, 90, 121, 7, 64, 150, 33, 5]
CASES = [
    (config("llama"), adapter_config()),
    (config("llama"), adapter_config(use_rslora=True, lora_alpha=4)),
    (config("llama"), adapter_config(rank_pattern={"k_proj": 2}, alpha_pattern={"q_proj": 16, "v_proj": 3})),
    (config("qwen2"), adapter_config()),
    (config("qwen3", head_dim=128), adapter_config()),
]


def _logprobs(state: State, settings: dict[str, Any]) -> np.ndarray:
    row = logits(state, settings, PROMPT)[-1].astype(np.float64)
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


def _question(*scales: float) -> tuple[str, dict[str, Any]]:
    lora = [{"id": at, "scale": scale} for at, scale in enumerate(scales)]
    body = {"prompt": PROMPT, "n_predict": 1, "temperature": 0, "n_probs": 20, "lora": lora}
    return "/completion", body


@pytest.mark.parametrize(
    ("settings", "adapter"), CASES, ids=["plain", "rslora", "patterns", "qwen2", "qwen3"]
)
def test_an_adapter_has_the_effect_of_merged_weights(
    settings: dict[str, Any], adapter: dict[str, Any], tmp_path: Path, ask: Ask
) -> None:
    state = weights(settings)
    base, paths, variants = tmp_path / "base.gguf", [], []
    base.write_bytes(convert(state, model_files(settings), "F16")[1])
    for seed in (1, 2):
        matrices = adapter_weights(state, adapter, seed)
        variants.append(merged(state, matrices, adapter))
        paths.append(tmp_path / f"{seed}.gguf")
        paths[-1].write_bytes(convert_adapter(safetensors_bytes(matrices, "F32"), adapter, base.read_bytes()))
    # In turn, and at last without any: that every question gets its own answer says that nothing is left over.
    questions = [_question(1.0, 0.0), _question(0.0, 1.0), _question(1.0, 0.0), _question(0.0)]
    answers = ask(base, questions, *paths)
    for answer, expected in zip(answers, [*variants, variants[0], state], strict=True):
        own = _logprobs(expected, settings)
        step = answer["completion_probabilities"][0]
        for item in step["top_logprobs"]:
            assert item["logprob"] == pytest.approx(own[item["id"]], abs=0.05)
        assert step["id"] == int(own.argmax())
    assert len({int(_logprobs(one, settings).argmax()) for one in (*variants, state)}) > 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "lora_only"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "alpha_pattern"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"r": "many"}, "adapter_config.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_llama_cpp_does_not_compute_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    settings = config("llama")
    state = weights(settings)
    adapter = adapter_config()
    data = safetensors_bytes(adapter_weights(state, adapter, 1), "F32")
    base = convert(state, model_files(settings), "F16")[1]
    with pytest.raises(UnsupportedFormat) as refused:
        convert_adapter(data, adapter | change, base)
    assert named in refused.value.message


def test_matrices_that_do_not_fit_the_base_are_refused() -> None:
    settings = config("llama")
    state = weights(settings)
    adapter = adapter_config()
    base = convert(state, model_files(settings), "F16")[1]
    good = adapter_weights(state, adapter, 1)
    at = "base_model.model.model.layers.0.self_attn.q_proj"

    def refusal(change: State) -> str:
        with pytest.raises(UnsupportedFormat) as refused:
            convert_adapter(safetensors_bytes(change, "F32"), adapter, base)
        return refused.value.message

    assert "256 x 255" in refusal(good | {f"{at}.lora_A.weight": np.zeros((4, 255), np.float32)})
    assert "do not fit each other" in refusal(good | {f"{at}.lora_A.weight": np.zeros((3, 256), np.float32)})
    other = {name.replace("layers.1", "layers.7"): value for name, value in good.items()}
    assert "its base lacks" in refusal(other)
    assert "embed_tokens" in refusal(
        good | {"base_model.model.model.embed_tokens.lora_embedding_A": np.zeros((4, 9), np.float32)}
    )
    assert "one of the two" in refusal(
        {name: value for name, value in good.items() if "layers.0.self_attn.q_proj.lora_B" not in name}
    )
    assert "infinite" in refusal(good | {f"{at}.lora_B.weight": np.full((256, 4), np.nan, np.float32)})
