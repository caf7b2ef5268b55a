"""One request as a handler sees it: what its path, query and body say, and who sent it."""

from __future__ import annotations

import base64
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request

from seedstock.core.errors import Forbidden, Invalid
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, Viewer
from seedstock.wiring import Hub

T = TypeVar("T")
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


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
