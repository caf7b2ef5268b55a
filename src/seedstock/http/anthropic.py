"""The Anthropic-compatible endpoint: the same models under `/v1/messages`."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.core import errors
from seedstock.core.errors import HubError
from seedstock.http.call import Call
from seedstock.http.errors import status_of, to_response
from seedstock.http.generation import generate, identify_api_caller
from seedstock.http.receive import read_body
from seedstock.http.routing import Routes, json_response
from seedstock.run.apis import Api, parse_request
from seedstock.run.request_checks import MAX_BODY_BYTES

_TYPES: list[tuple[type[HubError], str, int | None]] = [
    (errors.Unauthenticated, "authentication_error", None),
    (errors.Forbidden, "permission_error", None),
    (errors.NotFound, "not_found_error", None),
    (errors.TooLarge, "request_too_large", None),
    (errors.LimitExceeded, "rate_limit_error", None),
    (errors.EngineBusy, "overloaded_error", 529),
    (errors.RemoteSilent, "timeout_error", None),
    (errors.Unavailable, "api_error", None),
    (errors.Integrity, "api_error", None),
]


def render_error(call: Call, error: HubError) -> Response:
    """An error in Anthropic's shape."""
    text = f"{error.message}. {error.hint}" if error.hint else error.message
    kind, status = next(
        ((name, status) for cls, name, status in _TYPES if isinstance(error, cls)),
        ("invalid_request_error", None),
    )
    plain = to_response(error, anonymous=call.viewer.anonymous)
    kept = {name: plain.headers[name] for name in ("retry-after",) if name in plain.headers}
    body = {"type": "error", "error": {"type": kind, "message": text}}
    return json_response(body, status or status_of(error, anonymous=False), kept)


routes = Routes(render_error, identify_api_caller)


@routes.add("POST", "/v1/messages", stream=True)
async def messages(call: Call) -> Response:
    """Answer a conversation, whole or as a stream of events."""
    return await generate(call, parse_request(Api.MESSAGE, await read_body(call.request, MAX_BODY_BYTES)))


@routes.add("POST", "/v1/messages/count_tokens", stream=True)
async def count_tokens(call: Call) -> Response:
    """Count the tokens of a prompt."""
    return await generate(call, parse_request(Api.COUNT, await read_body(call.request, MAX_BODY_BYTES)))
