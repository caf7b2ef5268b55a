"""Turns plain functions into routes.

A handler takes a `Call` and returns JSON-able data or a Response. Plain functions run in the thread pool,
coroutines on the event loop (only for bodies or answers that are streamed). The caller is known before
the handler runs; errors become answers here, so a handler only raises.

Paths arrive percent-decoded, so `refs/pr/1/a/b.txt` is one remainder: `hub.revisions.split` divides it.
"""

from __future__ import annotations

import base64
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, quote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from seedstock.core.errors import Forbidden, HubError, Invalid, TooLarge
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, Viewer
from seedstock.http.errors import to_response
from seedstock.http.steady import SteadyAnswers, key_of
from seedstock.http.threads import in_thread
from seedstock.hub.repos import RepoMoved
from seedstock.wiring import Hub

log = logging.getLogger("seedstock.http")
T = TypeVar("T")
JSON_LIMIT_BYTES = 20_000_000
SESSION_COOKIE = "seedstock_session"


class Call:
    """One request, its caller and the services."""

    def __init__(self, request: Request, hub: Hub) -> None:
        self.request = request
        self.hub = hub
        self.viewer: Viewer = ANONYMOUS
        self.body = b""
        self.headers: dict[str, str] = {}
        """What the answer says beside its own headers, whatever it is."""
        self._unconfirmed: Viewer | None = None

    def set_session_viewer(self, viewer: Viewer) -> None:
        """Take the owner of a session cookie as caller, if the request shows that a page of ours sent it.

        A multipart form shows it in a field that is not read yet: the caller stays anonymous until then.
        Raises Forbidden.
        """
        request = self.request
        kind = request.headers.get("content-type", "")
        sent = request.headers.get("x-csrf-token") or ""
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            self.viewer = viewer
            return
        if not sent and kind.startswith("multipart/form-data"):
            self._unconfirmed = viewer
            return
        if not sent and self.body and kind.startswith("application/x-www-form-urlencoded"):
            sent = self.form().get("csrf", [""])[0]
        self._confirm(viewer, sent)

    @property
    def awaits_form(self) -> bool:
        """Whether a session waits for `confirm_form`."""
        return self._unconfirmed is not None

    def confirm_form(self, csrf: str) -> None:
        """Settle who sent a multipart form, by its field `csrf`. Raises Forbidden."""
        if self._unconfirmed is not None:
            self._confirm(self._unconfirmed, csrf)

    def _confirm(self, viewer: Viewer, csrf: str) -> None:
        assert viewer.credential is not None
        if not self.hub.signer.verify("csrf", viewer.credential.session or "", csrf):
            raise Forbidden("This form has expired", hint="reload the page and send it again")
        self.viewer = viewer

    def param(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A query parameter, under its plain or `name[]` spelling."""
        values = self.request.query_params
        return values.get(name, values.get(f"{name}[]"))

    def queries(self, name: str) -> list[str]:
        """A repeated query parameter; commas separate too, as old clients send."""
        values = self.request.query_params
        found = [*values.getlist(name), *values.getlist(f"{name}[]")]
        return [part.strip() for text in found for part in text.split(",") if part.strip()]

    def flag(self, name: str) -> bool:
        """A boolean query parameter: true, True or 1."""
        return (self.query(name) or "").lower() in {"true", "1"}

    def number(self, name: str, default: int, *, most: int) -> int:
        """A whole, non-negative query parameter, clipped to `most`. Raises Invalid."""
        text = self.query(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdigit():
            raise Invalid(f"{name} is a whole number, not {text[:40]!r}")
        return min(int(text[:18]), most)

    def json(self, kind: type[T]) -> T:
        """The body as a typed value. Raises Invalid naming what is wrong."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"Malformed request body: {str(error)[:300]}") from None

    def form(self) -> dict[str, list[str]]:
        """A urlencoded or JSON body as lists of values."""
        if self.request.headers.get("content-type", "").startswith("application/json"):
            data = self.json(dict[str, Any])
            return {
                key: [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
                for key, value in data.items()
            }
        try:
            return parse_qs(self.body.decode(), keep_blank_values=True, max_num_fields=100_000)
        except (UnicodeDecodeError, ValueError):
            raise Invalid("Malformed form body") from None

    def repo_id(self) -> RepoId:
        """The repo that the path names: parameters `type` (absent: model), `ns` and `name`."""
        params = self.request.path_params
        return RepoId(RepoType(params.get("type", "models")), params["ns"], params["name"])

    @property
    def base_url(self) -> str:
        """How this client reaches the hub, without a trailing slash."""
        configured = self.hub.settings.public_url
        if configured:
            return configured
        headers = self.request.headers
        scheme = headers.get("x-forwarded-proto", self.request.url.scheme).split(",")[0].strip()
        host = headers.get("x-forwarded-host", headers.get("host", "localhost")).split(",")[0].strip()
        return f"{'https' if scheme == 'https' else 'http'}://{host}"


Handler = Callable[[Call], Any]
Endpoint = Callable[[Request], Awaitable[Response]]
Identifier = Callable[[Call], None]
"""Sets the viewer of a call."""
ErrorRenderer = Callable[[Call, HubError], Response]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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


def identify_caller(call: Call) -> None:
    """Set the viewer from a bearer token, Basic credentials, or the session cookie (with its CSRF check)."""
    header = call.request.headers.get("authorization")
    if header:
        token = _token_of(header)
        if token:
            call.viewer = call.hub.accounts.viewer_for_token(token)
        return
    session = call.request.cookies.get(SESSION_COOKIE)
    if not session:
        return
    viewer = call.hub.accounts.viewer_for_session(session)
    if viewer is None:
        return
    call.set_session_viewer(viewer)


def _token_of(header: str) -> str:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:  # malformed base64, non-ASCII base64, or not UTF-8
            raise Invalid("Malformed Basic credentials") from None
        return password or user
    raise Invalid(f"Unknown authorization scheme: {kind[:20]!r}")


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to pass the limit."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise TooLarge(f"Request body of {announced} bytes is over the limit of {limit_bytes}")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge(f"Request body is over the limit of {limit_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)
