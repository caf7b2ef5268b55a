"""Signing in and out.

The sign-in form has no session to bind a token to; a form that another site sends is told by the
`Origin` and `Sec-Fetch-Site` headers, which every current browser sends and no page can forge.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import Response

from seedstock.accounts.service import SESSION_MS
from seedstock.core.errors import Forbidden, Invalid, LimitExceeded
from seedstock.http.call import SESSION_COOKIE, Call
from seedstock.web.pages.answer import page_routes, redirect, safe_next, show
from seedstock.web.views.accounts import LoginPage

routes = page_routes()


@routes.add("GET", "/login")
def login_form(call: Call) -> Response:
    """The sign-in page."""
    target = safe_next(call.query("next") or "/")
    return show(call, LoginPage(next=target)) if call.viewer.anonymous else redirect(target)


@routes.add("POST", "/login", limit_bytes=20_000)
def login(call: Call) -> Response:
    """Open a session."""
    _check_same_site(call)
    form = call.form()
    name, password = (form.get(field, [""])[0] for field in ("name", "password"))
    target = safe_next(form.get("next", ["/"])[0])
    client = call.request.client
    try:
        session = call.hub.accounts.sign_in(name.strip(), password, client.host if client else "")
    except LimitExceeded as error:
        return show(call, LoginPage(target, name[:100], f"{error.message}: {error.hint}."), 429)
    except Invalid as error:
        return show(call, LoginPage(target, name[:100], f"{error.message}."), 400)
    response = redirect(target)
    _set_cookie(call, response, session, SESSION_MS // 1000)
    return response


@routes.add("POST", "/logout")
def logout(call: Call) -> Response:
    """End the session."""
    session = call.request.cookies.get(SESSION_COOKIE)
    if session and not call.viewer.anonymous:
        call.hub.accounts.sign_out(session)
    response = redirect("/")
    _set_cookie(call, response, "", 0)
    return response


def _set_cookie(call: Call, response: Response, value: str, max_age_s: int) -> None:
    secure = call.base_url.startswith("https:")
    response.set_cookie(
        SESSION_COOKIE, value, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax"
    )


def _check_same_site(call: Call) -> None:
    """Raise Forbidden for a form that another site sent."""
    headers = call.request.headers
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
    if origin is not None:
        hosts = {headers.get("host", ""), urlsplit(call.base_url).netloc}
        foreign = foreign or urlsplit(origin).netloc not in hosts
    if foreign:
        raise Forbidden("The sign-in form was sent by another site", hint="open this hub's own sign-in page")
