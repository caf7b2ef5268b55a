"""Architectures whose definition is not written out in the tests: transformers computes what llama.cpp must say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the `adapt` extra is not installed")

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from seedstock.core.errors import UnsupportedFormat
from tests.factories.hf_model import State, byte_vocabulary
from tests.unit.convert.conftest import Ask, convert, convert_adapter, model_files

PROMPT = [10, 77, 200, 34, 259, 90, 121, 7, 64, 150, 33, 5, 81, 19, 211, 3]
ASKED = {
    "prompt": PROMPT,
    "n_predict": 4,
    "temperature": 0,
    "n_probs": 20,
    "return_tokens": True,
    "cache_prompt": False,
}
# Six layers, so that gemma3 has one that attends to all; windows that the prompt does not fit into.
GEMMA: dict[str, Any] = {
    "num_hidden_layers": 6,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 8,
}
FREQUENCIES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 5_000.0},
    "full_attention": {"rope_type": "linear", "rope_theta": 50_000.0, "factor": 4.0},
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma": ("gemma", {"num_hidden_layers": 2, "head_dim": 64}),
    "gemma2": ("gemma2", GEMMA | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 8.0}),
    "gemma3": ("gemma3_text", GEMMA | {"rope_parameters": FREQUENCIES}),
    "phi3": ("phi3", {"num_hidden_layers": 2}),
    "phi3, in part": (
        "phi3",
        {
            "num_hidden_layers": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75},
        },
    ),
}


def made(kind: str, settings: dict[str, Any]) -> tuple[Any, dict[str, Any], State]:
    """A model of transformers with random weights, its config.json, and the weights."""
    config = AutoConfig.for_model(
        kind,
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(byte_vocabulary()),
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        attn_implementation="eager",
        **settings,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    random = np.random.default_rng(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale, middle = 1.5 / np.sqrt(weight.shape[-1]), 0.0
            if weight.dim() == 1:
                scale, middle = 0.2, 1.0 if kind == "phi3" else 0.0
            elif "embed" in name or "lm_head" in name:
                scale = 0.5
            values = np.round((random.standard_normal(weight.shape) * scale + middle) * 64) / 64
            if values.shape[0] == len(byte_vocabulary()):
                values[128:256] = values[:128] / 2  # halves of a character never win
            weight.copy_(torch.from_numpy(values.astype(np.float32)))
    state = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    return model, json.loads(config.to_json_string(use_diff=False)), state


def check_answer(answer: dict[str, Any], model: Any) -> None:
    """Log-probabilities of llama.cpp's four tokens against the model's own."""
    tokens = list(PROMPT)
    assert len(answer["completion_probabilities"]) == 4
    for step in answer["completion_probabilities"]:
        with torch.no_grad():
            row = model(torch.tensor([tokens])).logits[0, -1].double()
        own = torch.log_softmax(row, dim=-1)
        assert float(own.max() - own.min()) > 2, "a model that says nothing would agree with anything"
        assert len(step["top_logprobs"]) == 20
        for item in step["top_logprobs"]:
            assert item["logprob"] == pytest.approx(float(own[item["id"]]), abs=0.05)
        tokens.append(step["id"])


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_model_says_what_transformers_says(name: str, tmp_path: Path, ask: Ask) -> None:
    model, config, state = made(*MODELS[name])
    path = tmp_path / "tiny.gguf"
    path.write_bytes(convert(state, model_files(config), "F16")[1])
    check_answer(ask(path, [("/completion", ASKED)])[0], model)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's
@pytest.mark.parametrize("name", ["gemma", "gemma3", "phi3"])
def test_an_adapter_of_it_says_what_peft_says(name: str, tmp_path: Path, ask: Ask) -> None:
    pytest.importorskip("peft", reason="the `adapt` extra is not installed")
    from peft import LoraConfig, get_peft_model

    model, config, state = made(*MODELS[name])
    base = convert(state, model_files(config), "F16")[1]
    torch.manual_seed(0)  # both matrices are drawn
    adapted: Any = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for at, weight in adapted.named_parameters():
            if "lora_B" in at:
                weight.copy_(torch.randn(weight.shape) * 0.05)
    adapted.save_pretrained(str(tmp_path))
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    matrices = (tmp_path / "adapter_model.safetensors").read_bytes()
    (tmp_path / "base.gguf").write_bytes(base)
    (tmp_path / "adapter.gguf").write_bytes(convert_adapter(matrices, settings, base))
    body = ASKED | {"lora": [{"id": 0, "scale": 1.0}]}
    answer = ask(tmp_path / "base.gguf", [("/completion", body)], tmp_path / "adapter.gguf")[0]
    check_answer(answer, adapted.eval())


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("gemma2", {"query_pre_attn_scalar": 24}, "query_pre_attn_scalar"),
        ("gemma2", {"layer_types": ["full_attention"] * 6}, "one layer in 2"),
        ("gemma2", {"attn_logit_softcapping": None}, "caps the logits"),
        ("gemma2", {"hidden_activation": "relu"}, "activation 'relu'"),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("gemma3", {"sliding_window": None}, "sliding_window is missing"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "Capped logits"),
        (
            "phi3",
            {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
            "'longrope' is not converted",
        ),
        (
            "phi3",
            {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 9}},
            "partial_rotary_factor",
        ),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    name: str, change: dict[str, Any], said: str
) -> None:
    _, config, state = made(*MODELS[name])
    with pytest.raises(UnsupportedFormat, match=said):
        convert(state, model_files(config | change), "F16")
