"""Requests that make no text: embeddings, and the model's tokens."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import SERVED_MODEL, Ability
from seedstock.run.openai_answers import OpenAiAnswers
from seedstock.run.request import EngineRequest
from seedstock.run.request_checks import (
    Body,
    Check,
    boolean,
    check_parameters,
    decode_body,
    one_of,
    text,
)

MAX_INPUTS = 2048
MAX_TOKENS = 1 << 20
_EMBEDDING: dict[str, Check] = {
    "model": text,
    "input": lambda value: (
        "" if _is_input(value) else f"a non-empty text, token ids, or at most {MAX_INPUTS} such"
    ),
    "encoding_format": one_of("float", "base64"),
}
_TOKENIZE: dict[str, Check] = {
    "model": text,
    "prompt": text,
    "add_special_tokens": boolean,
    "return_token_strs": boolean,
}
_DETOKENIZE: dict[str, Check] = {
    "model": text,
    "tokens": lambda value: "" if _is_tokens(value) else f"a list of at most {MAX_TOKENS} token ids",
}


def parse_embedding_request(data: bytes) -> EngineRequest:
    """Check a request for embeddings, in OpenAI's shape. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    if "dimensions" in body:
        raise Invalid("'dimensions' is not supported: an embedding is as long as the model makes it")
    check_parameters(body, _EMBEDDING, {"user"})
    if "input" not in body:
        raise Invalid("'input' is missing")
    asked = {name: value for name, value in body.items() if name != "user"} | {"model": SERVED_MODEL}
    return _request("/v1/embeddings", OpenAiAnswers(model), model, asked, Ability.EMBEDDINGS)


def parse_tokenize_request(data: bytes) -> EngineRequest:
    """Check a request for the tokens of a text. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    check_parameters(body, _TOKENIZE)
    if "prompt" not in body:
        raise Invalid("'prompt' is missing")
    shown = bool(body.get("return_token_strs", False))
    asked: Body = {
        "content": body["prompt"],
        "add_special": body.get("add_special_tokens", True),
        "with_pieces": shown,
    }
    return _request("/tokenize", TokenAnswers(model), model, asked)


def parse_detokenize_request(data: bytes) -> EngineRequest:
    """Check a request for the text of tokens. Raises Invalid, naming the parameter, and TooLarge."""
    model, body = decode_body(data)
    check_parameters(body, _DETOKENIZE)
    if "tokens" not in body:
        raise Invalid("'tokens' is missing")
    return _request("/detokenize", TextAnswers(model), model, {"tokens": body["tokens"]})


def _request(path: str, answers: OpenAiAnswers, model: str, body: Body, *needs: Ability) -> EngineRequest:
    data = msgspec.json.encode(body)
    return EngineRequest(path, model, stream=False, body=data, answers=answers, needs=needs, generates=False)


def _is_tokens(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_TOKENS
        and all(type(item) is int and 0 <= item < 1 << 31 for item in value)
    )


def _is_input(value: object) -> bool:
    """Whether a value is a text, tokens, or several of one of them, none of them empty."""
    if isinstance(value, str) or _is_tokens(value):
        return bool(value)
    if not isinstance(value, list) or len(value) > MAX_INPUTS:
        return False
    texts = all(isinstance(item, str) and item for item in value)
    return texts or all(_is_tokens(item) and item for item in value)


class TokenAnswers(OpenAiAnswers):
    """Tokens, and how they are written if asked for; as vLLM answers."""

    def whole(self, answer: bytes) -> bytes:
        """The tokens and their number."""
        tokens = msgspec.json.decode(answer, type=dict[str, Any])["tokens"]
        told: Body = {"count": len(tokens), "tokens": tokens, "token_strs": None}
        if tokens and isinstance(tokens[0], dict):
            told["tokens"] = [token["id"] for token in tokens]
            told["token_strs"] = [_written(token["piece"]) for token in tokens]
        return msgspec.json.encode(told)


def _written(piece: str | list[int]) -> str:
    """A token's text; some are only a part of a character, and come as bytes."""
    return piece if isinstance(piece, str) else bytes(piece).decode(errors="replace")


class TextAnswers(OpenAiAnswers):
    """The text of tokens."""

    def whole(self, answer: bytes) -> bytes:
        """The text as a prompt."""
        return msgspec.json.encode({"prompt": msgspec.json.decode(answer, type=dict[str, Any])["content"]})
