"""From the error tree to the wire: the one place that knows status codes and error headers.

Clients of the Hugging Face API choose their exception by `X-Error-Code`; a bare 401 or 404 means little.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from seedstock.core import errors
from seedstock.core.errors import HubError

_STATUS: list[tuple[type[HubError], int]] = [
    (errors.RepoNotFound, 404),
    (errors.NotFound, 404),
    (errors.InvalidToken, 401),
    (errors.Unauthenticated, 401),
    (errors.GatedRepo, 403),
    (errors.Forbidden, 403),
    (errors.BadPath, 422),
    (errors.Invalid, 400),
    (errors.RefMoved, 412),
    (errors.Conflict, 409),
    (errors.TooLarge, 413),
    (errors.LimitExceeded, 429),
    (errors.RangeNotSatisfiable, 416),
    (errors.Integrity, 500),
    (errors.RemoteSilent, 504),
    (errors.RemoteFailed, 502),
    (errors.Unavailable, 503),
]
_CODES: list[tuple[type[HubError], str]] = [
    (errors.RepoNotFound, "RepoNotFound"),
    (errors.RevisionNotFound, "RevisionNotFound"),
    (errors.EntryNotFound, "EntryNotFound"),
    (errors.GatedRepo, "GatedRepo"),
]


def status_of(error: HubError, *, anonymous: bool) -> int:
    """HTTP status of an error; to an anonymous caller a missing repo is one to sign in for."""
    if isinstance(error, errors.RepoNotFound | errors.GatedRepo) and anonymous:
        return 401
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def to_response(error: HubError, *, anonymous: bool) -> Response:
    """The error as JSON and headers."""
    text = f"{error.message}. {error.hint}" if error.hint else error.message
    headers = {"X-Error-Message": _header_text(text)}
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if code:
        headers["X-Error-Code"] = code
    if isinstance(error, errors.EntryNotFound) and error.commit:
        headers["X-Repo-Commit"] = error.commit
    if isinstance(error, errors.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Basic realm="Seedstock"'
    return JSONResponse({"error": text}, status_of(error, anonymous=anonymous), headers)


def _header_text(text: str) -> str:
    """One line of latin-1 without control characters."""
    line = " ".join(text.split())[:500]
    try:
        line.encode("latin-1")
    except UnicodeEncodeError:
        return quote(line, safe=" !#$&'()*+,/:;=?@[]")
    return "".join(char for char in line if char.isprintable())
