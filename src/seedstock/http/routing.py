"""Turns plain functions into routes.

A handler takes a `Call` and returns JSON-able data or a Response. Plain functions run in the thread pool,
coroutines on the event loop (only for bodies or answers that are streamed). The caller is known before
the handler runs; errors become answers here, so a handler only raises.

Paths arrive percent-decoded, so `refs/pr/1/a/b.txt` is one remainder: `hub.revisions.split` divides it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from seedstock.core.errors import HubError, Invalid
from seedstock.http.call import Call, identify_caller
from seedstock.http.errors import to_response
from seedstock.http.receive import read_body
from seedstock.http.steady import SteadyAnswers, key_of
from seedstock.http.threads import in_thread
from seedstock.hub.repos import RepoMoved

log = logging.getLogger("seedstock.http")
JSON_LIMIT_BYTES = 20_000_000


Handler = Callable[[Call], Any]
Endpoint = Callable[[Request], Awaitable[Response]]
Identifier = Callable[[Call], None]
"""Sets the viewer of a call."""
ErrorRenderer = Callable[[Call, HubError], Response]


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Data as JSON; structs, datetimes and raw JSON included."""
    return Response(msgspec.json.encode(data), status, headers, "application/json")


class Declared(NamedTuple):
    """A route as it was declared, for the documentation."""

    method: str
    paths: tuple[str, ...]
    handler: Handler


class Routes:
    """A list of routes being declared; both arguments replace what is usual."""

    def __init__(self, render_error: ErrorRenderer | None = None, identify: Identifier | None = None) -> None:
        self._render_error = render_error
        self._identify = identify or identify_caller
        self.routes: list[Route] = []
        self.declared: list[Declared] = []

    def add(
        self,
        method: str,
        *paths: str,
        limit_bytes: int = JSON_LIMIT_BYTES,
        stream: bool = False,
        steady: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Route a method on one or several paths to a handler.

        `stream` leaves the body unread. `steady` promises that the answer to an anonymous caller follows from
        the address and the database alone, so that it may be given again (`http/steady.py`).
        """

        def declare(handler: Handler) -> Handler:
            reads_body = method not in {"GET", "HEAD"} and not stream
            endpoint = _endpoint(
                handler, limit_bytes if reads_body else None, self._render_error, self._identify
            )
            if steady:
                endpoint = _steadily(endpoint)
            methods = ["GET", "HEAD"] if method == "GET" else [method]
            self.declared.append(Declared(method, paths, handler))
            for path in paths:
                self.routes.append(Route(path, endpoint, methods=methods))
            return handler

        return declare


def _endpoint(
    handler: Handler, limit_bytes: int | None, render_error: ErrorRenderer | None, identify: Identifier
) -> Endpoint:
    is_async = inspect.iscoroutinefunction(handler)

    async def endpoint(request: Request) -> Response:
        call = Call(request, request.app.state.hub)
        try:
            if "\0" in request.scope["path"]:
                raise Invalid("An address holds no NUL")  # PostgreSQL refuses to compare one
            if limit_bytes is not None:
                call.body = await read_body(request, limit_bytes)
            if is_async:
                await in_thread(identify, call)
                result = await handler(call)
            else:
                result = await in_thread(_invoke, handler, identify, call)
        except RepoMoved as moved:
            result = RedirectResponse(_moved_location(request, moved), 307)
        except HubError as error:
            result = _answer_error(call, error, render_error)
        except ClientDisconnect:
            return Response(status_code=499)
        response = result if isinstance(result, Response) else json_response(result)
        if call.headers:
            response.headers.update(call.headers)
        return response

    return endpoint


def _steadily(endpoint: Endpoint) -> Endpoint:
    """Give a stranger the answer that was given before, while nothing has changed since."""

    async def again(request: Request) -> Response:
        key = key_of(request)
        stamp = request.app.state.hub.stamp() if key is not None else None
        if key is None or stamp is None:
            return await endpoint(request)
        answers: SteadyAnswers = request.app.state.answers
        answer = answers.get(key, stamp)
        if answer is None:
            answer = await endpoint(request)
            answers.put(key, stamp, answer)
        return answer

    return again


def _moved_location(request: Request, moved: RepoMoved) -> str:
    """The same path under the new name; relative, so that it holds behind any proxy."""
    params, path = request.path_params, str(request.scope["path"])
    path = path.replace(f"/{params['ns']}/{params['name']}", f"/{moved.repo.repo_id}", 1)
    query = request.url.query
    return quote(path) + (f"?{query}" if query else "")


def _answer_error(call: Call, error: HubError, render_error: ErrorRenderer | None) -> Response:
    if render_error is not None:
        response = render_error(call, error)
    else:
        response = to_response(error, anonymous=call.viewer.anonymous)
    if response.status_code >= 500:
        log.error("%s %s: %s", call.request.method, call.request.url.path, error.message)
    return response


def _invoke(handler: Handler, identify: Identifier, call: Call) -> Any:
    identify(call)
    return handler(call)
