"""Answering with a model, in whichever API: the lease ends when the client hangs up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seedstock.core.errors import HubError, ModelPreparing
from seedstock.http.call import Call, identify_caller
from seedstock.http.metering import MeteredAnswer, admit
from seedstock.http.threads import in_thread
from seedstock.hub.models import LocatedModel
from seedstock.run.remote.upstream import find_remote_name
from seedstock.run.request import EngineRequest
from seedstock.run.service import EventStream

T = TypeVar("T")
PREPARATION_WAIT_S = 30.0
_POLL_S = 0.25


def identify_api_caller(call: Call) -> None:
    """Set the viewer as everywhere, or from the header `x-api-key` in which Anthropic's clients send a token.

    A request for an answer is held to the viewer's limits here, before anything is made of it.
    """
    key = call.request.headers.get("x-api-key")
    if key and "authorization" not in call.request.headers:
        call.viewer = call.hub.accounts.viewer_for_token(key.strip())
    else:
        identify_caller(call)
    if call.request.method == "POST":
        admit(call)


class Source(NamedTuple):
    """Where the answers of a model come from: an engine of this hub, or a remote."""

    name: str
    """By which it is counted."""
    repo_id: int | None
    """The repo of the model, if it is one of this hub's."""
    complete: Callable[[EngineRequest], Coroutine[Any, Any, bytes]]
    open_stream: Callable[[EngineRequest], Coroutine[Any, Any, EventStream]]


async def generate(call: Call, request: EngineRequest) -> Response:
    """The answer to a checked request, whole or as a stream of events; counted as a run of the model if it makes text."""
    async with MeteredAnswer(call, request) as answer:
        request = answer.request
        source = await _unless_gone(call.request, _source(call, request.model))
        answer.of(source.name)
        if request.stream:
            events = answer.until_closed(await _unless_gone(call.request, source.open_stream(request)))
            await _count_run(call, source)
            return EventsResponse(events)
        body = await _unless_gone(call.request, source.complete(request))
        if request.generates:
            await _count_run(call, source)
        return Response(body, media_type="application/json")


async def _source(call: Call, name: str) -> Source:
    if find_remote_name(name) is not None:
        at = await in_thread(call.hub.remotes.locate, call.viewer, name)
        remote = call.hub.remote_runner
        return Source(name, None, partial(remote.complete, at), partial(remote.open_stream, at))
    located = await _located(call, name)
    runner, file = call.hub.runner, located.file
    return Source(
        located.name, located.repo_id, partial(runner.complete, file), partial(runner.open_stream, file)
    )


async def _count_run(call: Call, source: Source) -> None:
    if source.repo_id is not None:
        await in_thread(call.hub.downloads.count_run, source.repo_id)


async def _located(call: Call, name: str) -> LocatedModel:
    """Where a model is; waits a while for one that is being made ready. Raises ModelPreparing after that."""
    deadline_s = time.monotonic() + PREPARATION_WAIT_S
    while True:
        try:
            return await in_thread(call.hub.models.locate, call.viewer, name)
        except ModelPreparing:
            if time.monotonic() >= deadline_s:
                raise
        await asyncio.sleep(_POLL_S)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, and cancel it when the client hangs up. Raises ClientDisconnect."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return await task
    finally:
        await _cancel(task, gone)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for pending in tasks:
        if not pending.done():
            pending.cancel()
            with suppress(asyncio.CancelledError):
                await pending


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
        """Send the events. A hang-up is noticed between two events too, which may be minutes apart."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            await _cancel(sending, gone)
            await self.events.aclose()

    async def _send(self, send: Send) -> None:
        try:
            async for event in self.events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except HubError as error:
            await send({"type": "http.response.body", "body": self.events.error_event(error)})
        except OSError:
            return  # the client hung up
