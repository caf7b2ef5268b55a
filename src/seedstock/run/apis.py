"""The APIs that models answer at, and which check a request to each goes through."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

import msgspec

from seedstock.run.messages_request import parse_count_request, parse_messages_request
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.remote.requests import parse_remote_request
from seedstock.run.remote.upstream import find_remote_name
from seedstock.run.request import EngineRequest
from seedstock.run.request_checks import MAX_BODY_BYTES
from seedstock.run.responses_request import parse_responses_request
from seedstock.run.text_requests import (
    parse_detokenize_request,
    parse_embedding_request,
    parse_tokenize_request,
)


class Api(StrEnum):
    """An operation; the value is its path."""

    CHAT = "/v1/chat/completions"
    COMPLETION = "/v1/completions"
    RESPONSE = "/v1/responses"
    MESSAGE = "/v1/messages"
    COUNT = "/v1/messages/count_tokens"
    EMBEDDING = "/v1/embeddings"
    TOKENIZE = "/v1/tokenize"
    DETOKENIZE = "/v1/detokenize"


_PARSERS: dict[Api, Callable[[bytes], EngineRequest]] = {
    Api.CHAT: partial(parse_openai_request, Kind.CHAT),
    Api.COMPLETION: partial(parse_openai_request, Kind.COMPLETION),
    Api.RESPONSE: parse_responses_request,
    Api.MESSAGE: parse_messages_request,
    Api.COUNT: parse_count_request,
    Api.EMBEDDING: parse_embedding_request,
    Api.TOKENIZE: parse_tokenize_request,
    Api.DETOKENIZE: parse_detokenize_request,
}


class _Asked(msgspec.Struct):
    model: str


def parse_request(api: Api, data: bytes) -> EngineRequest:
    """Check a request, for a model of the hub or of a remote. Raises Invalid, naming the parameter, and TooLarge."""
    if _is_remote(data):
        return parse_remote_request(api.value, data)
    return _PARSERS[api](data)


def _is_remote(data: bytes) -> bool:
    if len(data) > MAX_BODY_BYTES:
        return False
    try:
        return find_remote_name(msgspec.json.decode(data, type=_Asked).model) is not None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False  # what is wrong is said by the check
