"""Static files, generated pictures and what crawlers ask for."""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from html import escape

from starlette.responses import RedirectResponse, Response

from seedstock.core.errors import NotFound
from seedstock.http.call import Call
from seedstock.web.assets import CACHE_CONTROL, STATIC_DIR, static_url, static_version
from seedstock.web.filters import tone
from seedstock.web.pages.answer import page_routes

routes = page_routes()

_TONES = ("#0b6b4d", "#8f4f24", "#3c5f87", "#6d6420", "#7a4666", "#4f5a54")
_DAY = "public, max-age=86400"


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[bytes, str]]:
    """Every static file with its media type; they are few and small."""
    mimetypes.add_type("text/javascript", ".js")
    return {
        path.relative_to(STATIC_DIR).as_posix(): (
            path.read_bytes(),
            mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )
        for path in STATIC_DIR.rglob("*")
        if path.is_file()
    }


@routes.add("GET", "/static/{version}/{path:path}")
def static(call: Call) -> Response:
    """A static file; under its present version it may be kept for ever."""
    found = _files().get(call.param("path"))
    if found is None:
        raise NotFound("No such file")
    current = call.param("version") == static_version()
    headers = {"Cache-Control": CACHE_CONTROL if current else "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(found[0], headers=headers, media_type=found[1])


@routes.add("GET", "/favicon.svg", "/favicon.ico")
def favicon(_call: Call) -> Response:
    """The mark of the hub."""
    return RedirectResponse(static_url("mark.svg"), 302, {"Cache-Control": _DAY})


@routes.add("GET", "/robots.txt")
def robots(_call: Call) -> Response:
    """Crawlers may read cards, not every file of every revision."""
    rules = "User-agent: *\nDisallow: /api/\nDisallow: /*/resolve/\nDisallow: /*/raw/\nDisallow: /*/commit\n"
    return Response(rules, headers={"Cache-Control": _DAY}, media_type="text/plain")


@routes.add("GET", "/avatars/{name}.svg")
def avatar(call: Call) -> Response:
    """An account's picture: its initial on its colour, the same as on the pages; made for any name."""
    name = call.param("name")
    initial = escape(name[:1].upper()) if name[:1].isprintable() else ""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
        f'<rect width="64" height="64" rx="32" fill="{_TONES[tone(name)]}"/>'
        '<text x="32" y="43" text-anchor="middle" font-family="system-ui,sans-serif" font-size="30"'
        f' font-weight="600" fill="#fff">{initial}</text></svg>'
    )
    headers = {
        "Cache-Control": _DAY,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(svg, headers=headers, media_type="image/svg+xml")
