"""The ASGI application: all routes over one `Hub`."""

from __future__ import annotations

import logging
import re
import uuid
from types import ModuleType

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seedstock.http.dispatch import Dispatcher
from seedstock.http.steady import SteadyAnswers
from seedstock.http.threads import in_thread
from seedstock.usage.metrics import Metrics
from seedstock.wiring import Hub

log = logging.getLogger("seedstock.http")
_REQUEST_ID = re.compile(r"[A-Za-z0-9=;:._-]{1,128}\Z")


class _RepoTypeConvertor(Convertor[str]):
    regex = "models|datasets|spaces"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("repotype", _RepoTypeConvertor())


def route_groups() -> list[ModuleType]:
    """The modules that declare routes, the most frequent routes first: matching is in this order."""
    from seedstock.http import anthropic, arena, cas, chats, git_smart, metrics, openai
    from seedstock.http.hf_api import (
        accounts,
        commit,
        conversions,
        evaluations,
        files,
        info,
        jobs,
        lfs,
        lineage,
        listing,
        openness,
        remotes,
        replications,
        repos,
        spot_checks,
        trees,
        usage,
        variants,
        xet,
    )
    from seedstock.web.pages import groups

    # Pages come last: the addresses of an account and of a repo match nearly everything.
    api = [
        info,
        listing,
        files,
        trees,
        commit,
        lfs,
        xet,
        cas,
        repos,
        accounts,
        lineage,
        openness,
        git_smart,
        openai,
        anthropic,
        conversions,
        variants,
        spot_checks,
        replications,
        evaluations,
        remotes,
        jobs,
        usage,
        metrics,
        chats,
        arena,
    ]
    return [*api, *groups()]


def build_app(hub: Hub) -> ASGIApp:
    """The application, ready for any ASGI server."""
    declared = [route for group in route_groups() for route in group.routes.routes]
    routes = [*declared, Route("/healthz", _health)]
    app = Dispatcher(routes, _no_route, _unexpected, hub=hub, answers=SteadyAnswers())
    return RequestIds(app, hub.usage.metrics)


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _unexpected(request: Request, _error: Exception) -> Response:
    """Answer before the error goes on to RequestIds, which logs it."""
    request_id = request.scope["seedstock.request_id"]
    return JSONResponse({"error": f"Internal error. Tell the operator the request id {request_id}"}, 500)


async def _no_route(request: Request, _error: Exception) -> Response:
    from seedstock.web.pages.answer import render_missing, wants_html

    status = getattr(_error, "status_code", 404)
    if status == 404 and wants_html(request):
        return await in_thread(render_missing, request)
    return JSONResponse({"error": f"Nothing answers {request.method} {request.url.path[:200]}"}, status)


class RequestIds:
    """Gives every answer a request id and counts it, and has the last word to unexpected failures: logged, never shown."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["seedstock.request_id"] = request_id
        finished = False

        async def send_with_id(message: Message) -> None:
            nonlocal finished
            if message["type"] == "http.response.body" and not message.get("more_body"):
                finished = True
            if message["type"] == "http.response.start":
                self._count(scope, message["status"])
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ConnectionError:
            log.debug("%s %s: the client hung up", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
            if not finished:
                raise  # the server breaks the connection, so that half an answer is not taken for a whole one

    def _count(self, scope: Scope, status: int) -> None:
        """Methods and paths that no route knows are anybody's invention, and would be counted one by one."""
        route = scope.get("seedstock.route")
        self._metrics.request(scope["method"] if route else "", route or "", status)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name in {b"x-request-id", b"x-amzn-trace-id"}:
            text = value.decode("latin-1")
            if _REQUEST_ID.match(text):
                return str(text)
    return str(uuid.uuid4())
