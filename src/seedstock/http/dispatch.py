"""Finds the route of a request and runs it.

Takes Starlette's routes and its rule (the first that matches wins) but not its stack: Starlette tries every
pattern in turn and wraps each handler twice, which cost more than a repo's info. Here most routes are ruled
out at once by the fixed segments of their paths.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

NoRoute = Callable[[Request, HTTPException], Awaitable[Response]]
"""Answers where there is no such path (404) or no such method on it (405)."""
Failed = Callable[[Request, Exception], Awaitable[Response]]
"""Answers for a handler that failed unexpectedly; the error goes on to the caller afterwards."""

_CACHED_SHAPES = 5_000
_FIXED = re.compile(r"[\w.-]+\Z")
_CHOICE = re.compile(r"\{\w+:repotype\}\Z")


class RouteIndex:
    """Routes by the shape of paths: how many segments, and which of them are words that routes use.

    The routes that a shape may reach are found once and remembered.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, _Pattern(route.path)) for route in routes]
        self._words = {
            word for _, pattern in self._routes for words in pattern.words.values() for word in words
        }
        self._depth = max((len(pattern.segments) for _, pattern in self._routes), default=0) + 1
        self._shapes: dict[tuple[str | None, ...], list[Route]] = {}

    def candidates(self, path: str) -> list[Route]:
        """The routes that may match a path, in their order; few, and never one too few."""
        words = self._words
        shape = tuple([part if part in words else None for part in path.split("/", self._depth)[1:]])
        found = self._shapes.get(shape)
        if found is None:
            found = [route for route, pattern in self._routes if pattern.may_match(shape)]
            if len(self._shapes) >= _CACHED_SHAPES:  # there are few in earnest; strangers can make up more
                self._shapes.clear()
            self._shapes[shape] = found
        return found


class _Pattern:
    """The fixed part of a route's path: words by position, before the first parameter that takes slashes."""

    def __init__(self, path: str) -> None:
        segments = path.split("/")[1:]
        open_at = next((at for at, segment in enumerate(segments) if ":path}" in segment), None)
        self.segments = segments if open_at is None else segments[:open_at]
        self.open = open_at is not None
        self.words: dict[int, frozenset[str]] = {}
        for at, segment in enumerate(self.segments):
            if _FIXED.match(segment):
                self.words[at] = frozenset({segment})
            elif _CHOICE.match(segment):
                self.words[at] = frozenset({"models", "datasets", "spaces"})

    def may_match(self, shape: tuple[str | None, ...]) -> bool:
        """Whether some path of that shape may match; the last item stands for all that follows."""
        fits = len(shape) > len(self.segments) if self.open else len(shape) == len(self.segments)
        return fits and all(shape[at] in words for at, words in self.words.items())


class Dispatcher:
    """The application: one route per request. What handlers need of it is in `state`."""

    def __init__(self, routes: Sequence[Route], no_route: NoRoute, failed: Failed, **state: Any) -> None:
        self.state = State(state)
        self._index = RouteIndex(routes)
        self._no_route = no_route
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await _serve_other(scope, receive, send)
            return
        scope["app"] = self
        request = Request(scope, receive, send)
        try:
            response = await self._answer(request, scope)
        except HTTPException as error:
            response = JSONResponse({"error": error.detail}, error.status_code)
        except Exception as error:
            await (await self._failed(request, error))(scope, receive, send)
            raise
        await response(scope, receive, send)

    async def _answer(self, request: Request, scope: Scope) -> Response:
        partial = False
        for route in self._index.candidates(scope["path"]):
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                scope["seedstock.route"] = route.path
                response: Response = await route.endpoint(request)
                return response
            partial = partial or match is Match.PARTIAL
        return await self._no_route(request, HTTPException(405 if partial else 404))


async def _serve_other(scope: Scope, receive: Receive, send: Send) -> None:
    """Servers announce start and stop, which there is nothing to do for; web sockets are not spoken here."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
