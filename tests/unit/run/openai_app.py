"""A minimal hub around one model, for the stock OpenAI client to talk to: `granian tests.unit.run.openai_app:app`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from seedstock.core.errors import Invalid
from seedstock.run.engines.base import ModelFile
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.service import EventStream, ModelRunner

MODEL = msgspec.json.decode(os.environ["TEST_MODEL"], type=ModelFile)
RUNNER = ModelRunner(Path(os.environ["TEST_SOCKET"]))


class EventResponse(StreamingResponse):
    def __init__(self, events: EventStream) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


async def answer(request: Request) -> Response:
    try:
        asked = parse_openai_request(Kind(request.url.path.removeprefix("/v1/")), await request.body())
        if asked.stream:
            return EventResponse(await RUNNER.open_stream(MODEL, asked))
        return Response(await RUNNER.complete(MODEL, asked), media_type="application/json")
    except Invalid as error:
        return Response(
            msgspec.json.encode({"error": {"message": error.message}}), 400, media_type="application/json"
        )


app = Starlette(routes=[Route(f"/v1/{kind.value}", answer, methods=["POST"]) for kind in Kind])
