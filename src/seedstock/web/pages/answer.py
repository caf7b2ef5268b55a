"""How a page is answered: the frame around a view model, redirects, and errors in HTML.

Programs that do not ask for HTML get the same JSON errors as from the API.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from seedstock import __version__
from seedstock.core import errors
from seedstock.core.errors import HubError
from seedstock.core.names import RESERVED_ACCOUNTS
from seedstock.http.call import Call, identify_caller
from seedstock.http.errors import status_of, to_response
from seedstock.http.routing import Routes
from seedstock.web.render import CONTENT_SECURITY_POLICY, render
from seedstock.web.views.accounts import ErrorPage
from seedstock.web.views.common import Page, SiteView, ViewerView

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie, HX-Request",
}
_TITLES = {
    400: "That does not work",
    401: "Sign in first",
    403: "Not yours to do",
    404: "Nothing grows here",
    409: "That is taken",
    413: "Too large",
    429: "Slow down",
    503: "Not now",
}
# One sentence for a private and for a missing repository: which of the two it is stays unsaid.
_NO_REPO = "There is no such page, or it is private and not shared with you."


class _AccountConvertor(Convertor[str]):
    """A first path segment that can be an account: addresses of the hub itself never reach these pages."""

    regex = (
        "(?!(?i:"
        + "|".join(sorted(name.replace(".", "[.]") for name in RESERVED_ACCOUNTS))
        + ")(?:/|$))[^/]+"
    )

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("account", _AccountConvertor())


def show(call: Call, page: Page, status: int = 200) -> Response:
    """A page as a response."""
    return Response(_html(call, page), status, _HEADERS, "text/html")


def _html(call: Call, page: Page) -> str:
    viewer, session = call.viewer, call.viewer.credential.session if call.viewer.credential else None
    csrf = call.hub.signer.sign("csrf", session) if session else ""
    return render(
        page,
        viewer=ViewerView(csrf, viewer.name or None, viewer.is_admin),
        site=SiteView(call.base_url, __version__),
    )


def redirect(location: str) -> Response:
    """Send the browser on with GET, after a form was taken in."""
    return RedirectResponse(location, 303, {"Cache-Control": "no-store"})


def login_href(call: Call) -> str:
    """The sign-in page, with the way back here."""
    query = call.request.url.query
    here = quote(call.request.scope["path"]) + (f"?{query}" if query else "")
    return "/login?next=" + quote(here, safe="")


def safe_next(text: str) -> str:
    """A path on this host to go to after signing in; anything else becomes the front page."""
    parts = urlsplit(text) if text.isprintable() and "\\" not in text else None
    inside = parts is not None and not parts.scheme and not parts.netloc and parts.path.startswith("/")
    return text if inside and not text.startswith("//") else "/"


def wants_html(request: Request) -> bool:
    """Whether a browser asks, which names HTML; programs take anything."""
    return "text/html" in request.headers.get("accept", "")


def render_error(call: Call, error: HubError) -> Response:
    """An error as a page; somebody who must sign in is sent to do so."""
    if not wants_html(call.request):
        return to_response(error, anonymous=call.viewer.anonymous)
    anonymous = call.viewer.anonymous
    if isinstance(error, errors.Unauthenticated) and anonymous and call.request.method == "GET":
        return redirect(login_href(call))
    status = status_of(error, anonymous=False)
    missing = isinstance(error, errors.RepoNotFound)
    page = ErrorPage(
        status=status,
        title=_TITLES.get(status, "Something broke"),
        message=_NO_REPO if missing else _sentence(error.message),
        hint=None if missing or not error.hint else _sentence(error.hint),
        login_href=login_href(call) if anonymous and status in {401, 403, 404} else None,
    )
    return show(call, page, status)


def render_missing(request: Request) -> Response:
    """The page for an address that nothing answers: the same as for a repository that may not be seen."""
    call = Call(request, request.app.state.hub)
    try:
        identify_caller(call)
    except HubError as error:
        return render_error(call, error)
    return render_error(call, errors.RepoNotFound())


def _sentence(text: str) -> str:
    """An error's message as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def page_routes() -> Routes:
    """A list of routes whose errors are pages."""
    return Routes(render_error)


def moment(at_ms: int) -> datetime:
    """A stored time for a view model."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
