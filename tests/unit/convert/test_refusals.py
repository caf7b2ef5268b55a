"""What cannot be converted rightly is refused in one line, before any weight is read."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from seedstock.convert.from_safetensors import ModelFiles, plan_from_safetensors
from seedstock.convert.mixtures import find_target
from seedstock.convert.plan import header_bytes
from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import open_checkpoint
from tests.factories.hf_model import (
    TOKENIZER_CONFIG,
    State,
    config,
    safetensors_bytes,
    tokenizer_json,
    weights,
)
from tests.unit.convert.conftest import convert, model_files

SETTINGS = config("llama")
STATE = weights(SETTINGS)


def _refused(
    settings: dict[str, Any], match: str, state: State = STATE, tokenizer: bytes | None = None
) -> None:
    with pytest.raises(UnsupportedFormat, match=match):
        convert(state, model_files(settings, tokenizer), "F16")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "gemma3"}, "'gemma3' cannot be converted"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "scaling 'longrope'"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor is '0'"),
        ({"quantization_config": {"quant_method": "gptq"}}, "packed by 'gptq'"),
        ({"num_hidden_layers": 3}, r"missing: blk\.2\.attn_norm"),
        ({"num_hidden_layers": 1}, r"no place in a model of this architecture"),
        ({"intermediate_size": 500}, r"config.json says \(500, 256\)"),
        ({"hidden_size": -1}, "config.json is not understood"),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "do not fit together"),
        ({"num_key_value_heads": None, "vocab_size": 1 << 30}, "config.json is not understood"),
    ],
)
def test_settings(change: dict[str, Any], match: str) -> None:
    _refused(SETTINGS | change, match)


def test_a_tensor_of_another_kind_of_model() -> None:
    extra = STATE | {"model.layers.0.mlp.experts.0.w1.weight": STATE["model.norm.weight"]}
    _refused(SETTINGS, "experts.0.w1.weight' has no place", extra)


def test_an_output_that_is_neither_there_nor_tied() -> None:
    _refused(SETTINGS, "lm_head.weight is missing", {k: v for k, v in STATE.items() if k != "lm_head.weight"})


@pytest.mark.parametrize(
    ("files", "match"),
    [
        (ModelFiles("tiny", None, tokenizer_json(), TOKENIZER_CONFIG), "no config.json"),
        (ModelFiles("tiny", json.dumps(SETTINGS).encode(), None, TOKENIZER_CONFIG), "no tokenizer.json"),
        (ModelFiles("tiny", b"\xff", tokenizer_json(), TOKENIZER_CONFIG), "config.json is not understood"),
        (ModelFiles("tiny", json.dumps(SETTINGS).encode(), b"[" * 9999), "tokenizer.json is not understood"),
    ],
)
def test_files(files: ModelFiles, match: str) -> None:
    with pytest.raises(UnsupportedFormat, match=match):
        convert(STATE, files, "F16")


@pytest.mark.parametrize(
    ("tokenizer", "match"),
    [
        (tokenizer_json(type="Unigram"), "type 'Unigram'"),
        (tokenizer_json({"type": "Whitespace"}), "splits text by Whitespace"),
        (tokenizer_json(ignore_merges=True), "ignore_merges"),
        (tokenizer_json(merges=["a"]), "malformed: 'a'"),
        (tokenizer_json(vocab={"a": 9999}), "number 9999; the embedding has 267 rows"),
        (tokenizer_json(byte_fallback=True), "does not name all 256"),
    ],
)
def test_tokenizers(tokenizer: bytes, match: str) -> None:
    _refused(SETTINGS, match, tokenizer=tokenizer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


CHECKPOINT = open_checkpoint({"model.safetensors": BytesReader(safetensors_bytes(STATE))})


def _planned_or_refused(files: ModelFiles) -> str:
    try:
        plan = plan_from_safetensors(CHECKPOINT, files, find_target("F16"))
    except UnsupportedFormat as error:
        return error.message
    return str(len(header_bytes(plan)))


@given(st.sampled_from(sorted({*SETTINGS, "rope_scaling", "head_dim", "rope_parameters"})), JSON)
def test_any_value_in_the_settings_is_converted_or_refused(key: str, value: Any) -> None:
    said = _planned_or_refused(model_files(SETTINGS | {key: value}))
    assert "\n" not in said
    assert len(said) < 400


@given(st.sampled_from(["model", "added_tokens", "pre_tokenizer", "normalizer", "post_processor"]), JSON)
def test_any_value_in_the_tokenizer_is_converted_or_refused(key: str, value: Any) -> None:
    tokenizer = msgspec.json.decode(tokenizer_json()) | {key: value}
    said = _planned_or_refused(model_files(SETTINGS, msgspec.json.encode(tokenizer)))
    assert "\n" not in said
    assert len(said) < 400
