"""Checking a request for a remote model: as little as translating it takes, since the upstream checks the rest.

A hosted model's request is held to what the engine does; here parameters that are not known pass, as upstreams know
more of them from month to month.
"""

from __future__ import annotations

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.openai_answers import OpenAiAnswers
from seedstock.run.remote import translation
from seedstock.run.remote.anthropic_passage import RemoteMessageAnswers
from seedstock.run.request import Answers, EngineRequest
from seedstock.run.request_checks import decode_body, listed_messages
from seedstock.run.responses_request import parse_responses_request

_GENERATING = frozenset({translation.CHAT, translation.COMPLETIONS, translation.MESSAGES})


def parse_remote_request(path: str, data: bytes) -> EngineRequest:
    """A request to one of the paths under `/v1`. Raises Invalid, naming the parameter, and TooLarge."""
    if path == "/v1/responses":
        return parse_responses_request(data)  # becomes a chat, which every upstream has
    if path in {"/v1/tokenize", "/v1/detokenize"}:
        raise Invalid("A remote model's tokens are not known here")
    model, body = decode_body(data)
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise Invalid("'stream' must be true or false")
    if path in {translation.CHAT, translation.MESSAGES, translation.COUNT}:
        listed_messages(body.get("messages"))
    speaks_anthropic = path in {translation.MESSAGES, translation.COUNT}
    answers: Answers = RemoteMessageAnswers(model) if speaks_anthropic else OpenAiAnswers(model)
    generates = path in _GENERATING
    return EngineRequest(
        path, model, stream and generates, msgspec.json.encode(body), answers, generates=generates
    )
