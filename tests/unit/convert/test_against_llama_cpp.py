"""What is converted computes in llama.cpp what the model's own definition says."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories.hf_model import byte_vocabulary, config, logits, tokenizer_json, weights
from tests.unit.convert.conftest import Ask, convert, model_files, requantise

PROMPT = [10, 77, 200, 34, 259, 90, 121, 7, 64, 150, 33, 5]
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
MODELS = [
    config("llama"),
    config("llama", tie_word_embeddings=True, rope_theta=500.0, rope_scaling=LLAMA3),
    config("llama", rope_scaling={"rope_type": "linear", "factor": 4.0}, attention_bias=True),
    config("mistral", head_dim=32),
    config("qwen2", rope_theta=1e6),
    config("qwen3", head_dim=128),
    config("qwen2", rope_theta=1e4, rope_scaling=YARN),
]


def _name(settings: dict[str, Any]) -> str:
    return f"{settings['model_type']}-{(settings.get('rope_scaling') or {}).get('rope_type', 'plain')}"


def _completion(tokens: list[int], count: int) -> tuple[str, dict[str, Any]]:
    body = {"prompt": tokens, "n_predict": count, "temperature": 0, "n_probs": 20, "return_tokens": True}
    return "/completion", body | {"cache_prompt": False}


@pytest.mark.parametrize("settings", MODELS, ids=_name)
def test_a_converted_model_says_what_its_definition_says(
    settings: dict[str, Any], tmp_path: Path, ask: Ask
) -> None:
    state = weights(settings)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(convert(state, model_files(settings), "F16")[1])
    answer = ask(path, [_completion(PROMPT, 6)])[0]
    tokens = list(PROMPT)
    for step in answer["completion_probabilities"]:
        row = logits(state, settings, tokens)[-1].astype(np.float64)
        own = row - row.max() - np.log(np.exp(row - row.max()).sum())
        theirs = {item["id"]: item["logprob"] for item in step["top_logprobs"]}
        assert len(theirs) == 20
        for number, logprob in theirs.items():
            assert logprob == pytest.approx(own[number], abs=0.05)
        assert step["id"] == int(row.argmax())
        tokens.append(step["id"])
    assert answer["tokens"] == tokens[len(PROMPT) :]


@pytest.mark.parametrize(("target", "tolerance"), [("Q8_0", 0.1), ("Q6_K", 0.25), ("Q4_K_M", 1.5)])
def test_fewer_bits_change_the_answer_by_little(
    target: str, tolerance: float, tmp_path: Path, ask: Ask
) -> None:
    settings = config("llama")
    state = weights(settings)
    path = tmp_path / "tiny.gguf"
    plan, data = requantise(convert(state, model_files(settings), "F16")[1], target)
    path.write_bytes(data)
    assert plan.types.get({"Q4_K_M": "Q4_K"}.get(target, target), 0) > 0
    step = ask(path, [_completion(PROMPT, 1)])[0]["completion_probabilities"][0]
    row = logits(state, settings, PROMPT)[-1].astype(np.float64)
    own = row - row.max() - np.log(np.exp(row - row.max()).sum())
    errors = [abs(item["logprob"] - own[item["id"]]) for item in step["top_logprobs"]]
    assert float(np.mean(errors)) < tolerance


def _split(digits: str) -> dict[str, Any]:
    """The pre-tokenizer of Llama 3 and of Qwen 2, which differ in how they take digits."""
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    pattern = words + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    after = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, after]}


SMOLLM = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
    ],
}


@pytest.mark.parametrize(
    ("pre_tokenizer", "expected"),
    [
        (None, ["the", "Ġthe", "12", "<|end|>", "ing"]),
        (SMOLLM, ["the", "Ġthe", "1", "2", "<|end|>", "ing"]),
        (_split(r"\p{N}{1,3}"), ["the", "Ġthe", "12", "<|end|>", "ing"]),
        (_split(r"\p{N}"), ["the", "Ġthe", "1", "2", "<|end|>", "ing"]),
    ],
    ids=["gpt-2", "smollm", "llama-bpe", "qwen2"],
)
def test_text_is_split_as_the_tokenizer_splits_it(
    pre_tokenizer: dict[str, Any] | None, expected: list[str], tmp_path: Path, ask: Ask
) -> None:
    settings = config("llama")
    path = tmp_path / "tiny.gguf"
    whole_words = "{1,3}" in json.dumps(pre_tokenizer)
    tokenizer = tokenizer_json(pre_tokenizer, ignore_merges=whole_words)
    path.write_bytes(convert(weights(settings), model_files(settings, tokenizer), "F16")[1])
    text = {"content": "the the12<|end|>ing", "parse_special": True, "with_pieces": False}
    found = ask(path, [("/tokenize", text)])[0]["tokens"]
    numbers = byte_vocabulary()
    assert found == [numbers[token] for token in expected]


_GEMMA_SPLIT = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}


def _sentencepiece(*, gemma: bool = False) -> tuple[bytes, dict[str, int]]:
    """A tokenizer as converted from SentencePiece, whose merges compete; gemma's begins no text with a space."""
    letters = ["\u2581", *"abcd"]
    merges = [
        ("b", "c"),
        ("a", "b"),
        ("\u2581", "a"),
        ("ab", "c"),
        ("\u2581a", "bc"),
        ("c", "d"),
        ("d", "\u2581a"),
    ]
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    texts += [left + right for left, right in merges]
    numbers = {text: at for at, text in enumerate(texts)}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    tokenizer = {
        "added_tokens": [
            {"id": at, "content": text, "special": True} for text, at in list(numbers.items())[:3]
        ],
        "normalizer": replace
        if gemma
        else {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]},
        "pre_tokenizer": _GEMMA_SPLIT if gemma else None,
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "unk_token": "<unk>",
            "vocab": numbers,
            "merges": [" ".join(p) for p in merges],
        },
    }
    return json.dumps(tokenizer).encode(), numbers


def _merged(text: str, numbers: dict[str, int]) -> list[str]:
    """BPE by definition: the pair of lowest rank first, the leftmost of equals; ranks are the vocabulary's order."""
    parts = list("\u2581" + text.replace(" ", "\u2581"))
    while True:
        ranks = [
            (numbers[a + b], at) for at, (a, b) in enumerate(itertools.pairwise(parts)) if a + b in numbers
        ]
        if not ranks:
            return parts
        at = min(ranks)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_a_sentencepiece_vocabulary_merges_in_the_same_order(tmp_path: Path, ask: Ask) -> None:
    tokenizer, numbers = _sentencepiece()
    settings = config("llama", vocab_size=len(numbers))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(convert(weights(settings), model_files(settings, tokenizer), "F16")[1])
    texts = ["abcd", "bcd abc", "aabcdd ad abcd", "dad cab a", "cd a"]
    found = ask(path, [("/tokenize", {"content": text}) for text in texts])
    for text, answer in zip(texts, found, strict=True):
        assert answer["tokens"] == [numbers[part] for part in _merged(text, numbers)]


def test_gemma_s_vocabulary_is_split_as_its_own_library_splits(tmp_path: Path, ask: Ask) -> None:
    pytest.importorskip("tokenizers", reason="the `adapt` extra is not installed")
    from tokenizers import Tokenizer

    raw, numbers = _sentencepiece(gemma=True)
    named, options = json.loads(raw), dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    named["added_tokens"] = [added | options for added in named["added_tokens"]]
    # As published ones have it: every way to make a token of two others is a merge.
    named["model"]["merges"] = [
        [text[:at], text[at:]]
        for text in list(numbers)[259:]
        for at in range(1, len(text))
        if text[:at] in numbers and text[at:] in numbers
    ]
    raw = json.dumps(named).encode()
    own = Tokenizer.from_str(raw.decode())
    settings = config("llama", vocab_size=len(numbers))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(convert(weights(settings), model_files(settings, raw), "F16")[1])
    texts = ["abcd", " bcd abc", "aabcdd  ad abcd", "dad é cab a", "cd a\nb"]
    found = ask(path, [("/tokenize", {"content": text}) for text in texts])
    for text, answer in zip(texts, found, strict=True):
        assert answer["tokens"] == own.encode(text, add_special_tokens=False).ids, text
