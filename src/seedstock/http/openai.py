"""The OpenAI-compatible endpoint: every runnable model of the hub under `/v1`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seedstock.core import errors
from seedstock.core.errors import HubError, Unauthenticated
from seedstock.db.repos import RepoRow
from seedstock.http.errors import status_of, to_response
from seedstock.http.routing import Call, Routes, json_response, read_body
from seedstock.http.threads import in_thread
from seedstock.run.openai import error_event
from seedstock.run.openai_request import MAX_BODY_BYTES, Kind, parse_openai_request
from seedstock.run.service import EventStream

T = TypeVar("T")
_TYPES: list[tuple[type[HubError], str]] = [
    (errors.Unauthenticated, "authentication_error"),
    (errors.Forbidden, "permission_error"),
    (errors.NotFound, "not_found_error"),
    (errors.LimitExceeded, "rate_limit_error"),
    (errors.Unavailable, "server_error"),
    (errors.Integrity, "server_error"),
]


def render_error(call: Call, error: HubError) -> Response:
    """An error in OpenAI's shape; the model that may not be seen is the model that is not there."""
    text = f"{error.message}. {error.hint}" if error.hint else error.message
    kind = next((name for cls, name in _TYPES if isinstance(error, cls)), "invalid_request_error")
    code = "model_not_found" if isinstance(error, errors.NotFound) else None
    plain = to_response(error, anonymous=call.viewer.anonymous)
    kept = {
        name: plain.headers[name] for name in ("retry-after", "www-authenticate") if name in plain.headers
    }
    body = {"error": {"message": text, "type": kind, "param": None, "code": code}}
    return json_response(body, status_of(error, anonymous=False), kept)


routes = Routes(render_error)


@routes.add("GET", "/v1/models")
def models(call: Call) -> dict[str, Any]:
    """Every model that the caller may run."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in or send a token to list models")
    return {"object": "list", "data": [_model(repo) for repo in call.hub.models.list(call.viewer)]}


@routes.add("GET", "/v1/models/{name:path}")
def model(call: Call) -> dict[str, Any]:
    """One model."""
    return _model(call.hub.models.get(call.viewer, call.param("name")))


def _model(repo: RepoRow) -> dict[str, Any]:
    return {
        "id": repo.repo_id,
        "object": "model",
        "created": repo.created_at // 1000,
        "owned_by": repo.namespace,
    }


@routes.add("POST", "/v1/chat/completions", stream=True)
async def chat_completions(call: Call) -> Response:
    """Answer a conversation, whole or as a stream of events."""
    return await _answer(call, Kind.CHAT)


@routes.add("POST", "/v1/completions", stream=True)
async def completions(call: Call) -> Response:
    """Continue a text, whole or as a stream of events."""
    return await _answer(call, Kind.COMPLETION)


async def _answer(call: Call, kind: Kind) -> Response:
    request = parse_openai_request(kind, await read_body(call.request, MAX_BODY_BYTES))
    located = await in_thread(call.hub.models.locate, call.viewer, request.model)
    runner, file = call.hub.runner, located.file
    if request.stream:
        events = await _unless_gone(call.request, runner.open_stream(file, request))
        await in_thread(call.hub.downloads.count_run, located.repo_id)
        return EventsResponse(events)
    body = await _unless_gone(call.request, runner.complete(file, request))
    await in_thread(call.hub.downloads.count_run, located.repo_id)
    return Response(body, media_type="application/json")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, and cancel it when the client hangs up. Raises ClientDisconnect."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return await task
    finally:
        for pending in (task, gone):
            if not pending.done():
                pending.cancel()
                with suppress(asyncio.CancelledError):
                    await pending


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventsResponse(Response):
    """Server-sent events; when the client hangs up the engine is told to stop."""

    def __init__(self, events: EventStream) -> None:
        self.events = events
        self.status_code = 200
        self.background = None
        self.init_headers(
            {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the events."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for event in self.events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except HubError as error:
            await send({"type": "http.response.body", "body": error_event(error)})
        except OSError:
            return  # the client hung up
        finally:
            await self.events.aclose()
