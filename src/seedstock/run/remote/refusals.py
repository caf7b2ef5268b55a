"""What an upstream's refusal means to our caller.

The key is this hub's, not the caller's: that it is refused is no fault of theirs, and an upstream's words about keys
and accounts are not handed on. Its words about the request are.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

import msgspec

from seedstock.core.errors import (
    EngineBusy,
    HubError,
    Invalid,
    NotFound,
    RemoteBusy,
    RemoteFailed,
    RemoteRefused,
    RemoteSilent,
    TooLarge,
)
from seedstock.run.remote.upstream import Upstream

MAX_ERROR_BYTES = 64 << 10
_MAX_WORDS = 2000
_MAX_WAIT_S = 3600
_OF_REQUEST: dict[int, type[HubError]] = {400: Invalid, 404: NotFound, 413: TooLarge, 422: Invalid}
_ADMIN = "tell an administrator of this hub"


def refusal_of(upstream: Upstream, status: int, headers: Mapping[str, str], body: bytes) -> HubError:
    """The error for an answer whose status is not 200; `body` may be cut short."""
    name = f"The remote {upstream.name!r}"
    words = _words_of(upstream.scrub(body))
    retry_after_s = _retry_after_s(headers.get("retry-after"))
    if status == 429:
        return RemoteBusy(
            f"{name} limits how often this hub may ask", hint="try again later", retry_after_s=retry_after_s
        )
    if status in {503, 529}:
        busy = EngineBusy(f"{name} is overloaded")
        busy.retry_after_s = retry_after_s or busy.retry_after_s
        return busy
    if status in _OF_REQUEST and words:
        return _OF_REQUEST[status](f"{words} (said by the remote {upstream.name!r})")
    if status in {408, 504}:
        return RemoteSilent(f"{name} did not answer in time")
    kind: type[HubError] = RemoteRefused if status < 500 else RemoteFailed
    return kind(f"{name} {_fault(status)}", hint=_ADMIN)


def _fault(status: int) -> str:
    if status in {401, 403}:
        return f"refuses the key that this hub has for it (status {status})"
    if status == 402:
        return "refuses, as its account has no credit (status 402)"
    if status == 404:
        return "answers with status 404 and no words: its address may be wrong"
    if 300 <= status < 400:
        return f"answers with a redirect (status {status}), which is not followed"
    return f"answers with status {status}"


def _words_of(body: bytes) -> str:
    """The message of an error, as the various servers put it; empty if there is none."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
    if not isinstance(data, dict):
        return ""
    error = data.get("error", data.get("message", data.get("detail")))
    if isinstance(error, dict):
        error = error.get("message")
    return " ".join(error.split())[:_MAX_WORDS] if isinstance(error, str) else ""


def _retry_after_s(text: str | None) -> int | None:
    """`Retry-After` in seconds, whether it is a number or a date."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return min(_MAX_WAIT_S, int(text.strip()[:9]))
    try:
        moment_s = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, min(_MAX_WAIT_S, round(moment_s - time.time())))
