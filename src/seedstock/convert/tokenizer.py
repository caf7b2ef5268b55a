"""`tokenizer.json` and its companions to the keys that llama.cpp reads a tokenizer from.

Two kinds are understood, each refused by name where llama.cpp would split text otherwise than the tokenizer does:
byte-level BPE whose pre-tokenizer llama.cpp knows, and BPE with byte fallback as converted from SentencePiece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from seedstock.convert.plan import Value
from seedstock.core.errors import UnsupportedFormat

T = TypeVar("T")
MAX_TOKENS = 1_000_000
_STRING, _ARRAY, _BOOL, _UINT32, _INT32, _FLOAT32 = 8, 9, 7, 4, 5, 6
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What splits the text: llama.cpp's name of it, and whether that takes whole words of the vocabulary unmerged.
_SPLITS: Mapping[tuple[str, ...], tuple[str, bool]] = {
    ("bytes with gpt-2's split",): ("gpt-2", False),
    ("digits", "bytes with gpt-2's split"): ("smollm", False),
    (_WORDS + r"\p{N}{1,3}" + _REST, "bytes"): ("llama-bpe", True),
    (_WORDS + r"\p{N}" + _REST, "bytes"): ("qwen2", False),
    (_TEKKEN, "bytes"): ("tekken", True),
}
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


class _Added(msgspec.Struct, frozen=True):
    id: int
    content: str
    special: bool = False


class _Model(msgspec.Struct, frozen=True):
    vocab: dict[str, int]
    merges: list[str | tuple[str, str]]
    type: str = "BPE"
    byte_fallback: bool | None = False
    ignore_merges: bool | None = False
    dropout: float | None = None


class _Kind(msgspec.Struct, frozen=True):
    type: str | None = "BPE"


class _Outer(msgspec.Struct, frozen=True):
    """`tokenizer.json` but for its vocabulary, to say which kind it is before anything else is asked of it."""

    model: _Kind


class _Tokenizer(msgspec.Struct, frozen=True):
    model: _Model
    added_tokens: list[_Added] = []
    pre_tokenizer: dict[str, Any] | None = None
    normalizer: dict[str, Any] | None = None
    post_processor: dict[str, Any] | None = None


def read_tokenizer(
    tokenizer: bytes, config: bytes | None, template: bytes | None, model_config: Mapping[str, Any], size: int
) -> dict[str, Value]:
    """Every `tokenizer.*` key of a model whose embedding has `size` rows. Raises UnsupportedFormat."""
    parsed = _parse(tokenizer)
    options = _decode(config or b"{}", "tokenizer_config.json", dict[str, Any])
    tokens, kinds = _tokens(parsed, size)
    values = {
        "tokenizer.ggml.tokens": Value(tokens, _ARRAY, _STRING),
        "tokenizer.ggml.token_type": Value(kinds, _ARRAY, _INT32),
    }
    spm = bool(parsed.model.byte_fallback)
    values |= _sentencepiece(parsed, tokens, kinds) if spm else _byte_level(parsed)
    values |= _special(parsed, options, model_config, size)
    text = template.decode("utf-8", "replace") if template else _template(options.get("chat_template"))
    if text:
        values["tokenizer.chat_template"] = Value(text, _STRING)
    return values


def _decode(raw: bytes, name: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"{name} is not understood: {str(error)[:200]}") from None


def _parse(raw: bytes) -> _Tokenizer:
    kind = _decode(raw, "tokenizer.json", _Outer).model.type
    if kind != "BPE":
        raise UnsupportedFormat(f"The tokenizer is of type {str(kind)[:40]!r}; only BPE can be converted")
    return _decode(raw, "tokenizer.json", _Tokenizer)


def _tokens(parsed: _Tokenizer, size: int) -> tuple[list[str], list[int]]:
    """Texts and kinds by number; rows of the embedding that no token has are unused."""
    if size > MAX_TOKENS:
        raise UnsupportedFormat(f"A vocabulary of {size} tokens; {MAX_TOKENS} are converted at most")
    tokens, kinds = [f"[PAD{number}]" for number in range(size)], [_UNUSED] * size
    named = [(number, text, _NORMAL) for text, number in parsed.model.vocab.items()]
    for added in parsed.added_tokens:
        control = added.special or _looks_special(added.content)
        named.append((added.id, added.content, _CONTROL if control else _USER_DEFINED))
    for number, text, kind in named:
        if not 0 <= number < size:
            raise UnsupportedFormat(f"Token {text[:40]!r} is number {number}; the embedding has {size} rows")
        tokens[number], kinds[number] = text, kind
    return tokens, kinds


def _looks_special(text: str) -> bool:
    """Whether llama.cpp's converter takes it for a control token though it is not marked as one."""
    return text in {"<pad>", "<mask>"} or (text[:2] in {"<|", "<｜"} and text[-2:] in {"|>", "｜>"})


def _byte_level(parsed: _Tokenizer) -> dict[str, Value]:
    split = tuple(_splits(parsed.pre_tokenizer))
    if split not in _SPLITS:
        shown = " then ".join(split)[:200] or "nothing"
        raise UnsupportedFormat(f"The tokenizer splits text by {shown}, which has no name in llama.cpp here")
    normal = (parsed.normalizer or {}).get("type")
    if normal not in {None, "NFC"}:
        raise UnsupportedFormat(f"The tokenizer normalises text by {str(normal)[:40]!r}")
    name, whole_words = _SPLITS[split]
    if bool(parsed.model.ignore_merges) != whole_words:
        raise UnsupportedFormat(f"The tokenizer splits as {name} does, but differs in ignore_merges")
    merges = [" ".join(pair) for pair in _pairs(parsed.model.merges)]
    return {
        "tokenizer.ggml.model": Value("gpt2", _STRING),
        "tokenizer.ggml.pre": Value(name, _STRING),
        "tokenizer.ggml.merges": Value(merges, _ARRAY, _STRING),
    }


def _splits(step: Mapping[str, Any] | None) -> Iterator[str]:
    """The steps of a pre-tokenizer, each as a word or as its regular expression."""
    kind = (step or {}).get("type")
    if step is None or kind is None:
        return
    if kind == "Sequence":
        inner = step.get("pretokenizers")
        for item in inner if isinstance(inner, list) else ():
            if isinstance(item, dict) and item.get("type") != "Sequence":
                yield from _splits(item)
    elif kind == "ByteLevel" and not step.get("add_prefix_space"):
        yield "bytes with gpt-2's split" if step.get("use_regex", True) else "bytes"
    elif kind == "Digits" and step.get("individual_digits"):
        yield "digits"
    elif kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        pattern = step.get("pattern")
        yield str(pattern.get("Regex") if isinstance(pattern, dict) else pattern)
    else:
        yield f"{str(kind)[:40]} with other settings"


def _pairs(merges: Sequence[str | tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for merge in merges:
        left, _, right = merge.partition(" ") if isinstance(merge, str) else (merge[0], " ", merge[1])
        if not left or not right or " " in left or " " in right:
            raise UnsupportedFormat(f"A merge of the tokenizer is malformed: {str(merge)[:80]!r}")
        yield left, right


def _sentencepiece(parsed: _Tokenizer, tokens: list[str], kinds: list[int]) -> dict[str, Value]:
    """Scores are ranks: llama.cpp merges the pair whose token has the highest score, BPE the one of lowest rank."""
    for number, text in enumerate(tokens):
        if kinds[number] == _NORMAL and len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            kinds[number] = _BYTE
        elif text == "<unk>":
            kinds[number] = _UNKNOWN
    if sum(kind == _BYTE for kind in kinds) != 256:
        raise UnsupportedFormat("The tokenizer falls back on bytes but does not name all 256 of them")
    scores = [0.0] * len(tokens)
    for rank, (left, right) in enumerate(_pairs(parsed.model.merges), 1):
        merged = parsed.model.vocab.get(left + right)
        if merged is not None and scores[merged] == 0.0:
            scores[merged] = -float(rank)
    return {
        "tokenizer.ggml.model": Value("llama", _STRING),
        "tokenizer.ggml.pre": Value("default", _STRING),
        "tokenizer.ggml.scores": Value(scores, _ARRAY, _FLOAT32),
        "tokenizer.ggml.add_space_prefix": Value(_adds_space(parsed), _BOOL),
    }


def _adds_space(parsed: _Tokenizer) -> bool:
    """Whether text gets a space before its first word; raises UnsupportedFormat for other normalisation."""
    steps = (parsed.normalizer or {}).get("normalizers") or [parsed.normalizer or {}]
    prepends = False
    for step in steps if isinstance(steps, list) else ():
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "Prepend" and step.get("prepend") == "\u2581":
            prepends = True
        elif kind not in {None, "Replace"} or (kind == "Replace" and step.get("content") != "\u2581"):
            raise UnsupportedFormat(f"The tokenizer normalises text by {str(kind)[:40]!r}")
    before = parsed.pre_tokenizer or {}
    if before.get("type") == "Metaspace":
        return bool(before.get("prepend_scheme", "always") != "never")
    if before.get("type") is not None and not _never_splits(before):
        raise UnsupportedFormat(f"The tokenizer splits text by {str(before['type'])[:40]!r}")
    return prepends


def _never_splits(step: Mapping[str, Any]) -> bool:
    """Gemma's splits at spaces, of which there are none once each has been replaced."""
    return step.get("type") == "Split" and step.get("pattern") == {"String": " "}


def _special(
    parsed: _Tokenizer, options: Mapping[str, Any], model_config: Mapping[str, Any], size: int
) -> dict[str, Value]:
    numbers = parsed.model.vocab | {added.content: added.id for added in parsed.added_tokens}
    values = {}
    for key, name in _SPECIAL.items():
        text = options.get(key)
        text = text.get("content") if isinstance(text, dict) else text
        number: object = numbers.get(text) if isinstance(text, str) else None
        if number is None:
            given = model_config.get(f"{key}_id")
            number = given[0] if isinstance(given, list) and given else given
        if isinstance(number, int) and 0 <= number < size:
            values[f"tokenizer.ggml.{name}_token_id"] = Value(number, _UINT32)
    first, last = _framing(parsed.post_processor)
    for key, framed in (("add_bos_token", first), ("add_eos_token", last)):
        stated = options.get(key)
        decided = stated if isinstance(stated, bool) else framed
        if decided is not None:
            values[f"tokenizer.ggml.{key}"] = Value(decided, _BOOL)
    return values


def _framing(step: Mapping[str, Any] | None) -> tuple[bool | None, bool | None]:
    """Whether a text is given a token before and after it; None where the tokenizer leaves that open."""
    steps = (step or {}).get("processors") or [step or {}]
    for item in steps if isinstance(steps, list) else ():
        if isinstance(item, dict) and item.get("type") == "TemplateProcessing":
            single = item.get("single")
            if isinstance(single, list) and single and all(isinstance(part, dict) for part in single):
                return "SpecialToken" in single[0], "SpecialToken" in single[-1]
    return (None, None) if step is None else (False, False)


def _template(found: object) -> str:
    """The chat template of `tokenizer_config.json`: a text, or the default of several named ones."""
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""
