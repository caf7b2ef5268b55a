"""What an attempt that failed says, and whether another could end otherwise."""

from __future__ import annotations

from seedstock.core.errors import Forbidden, HubError, Invalid, NotFound, Unauthenticated

_FINAL = (Invalid, NotFound, Forbidden, Unauthenticated)


def is_final(error: Exception) -> bool:
    """Whether trying again changes nothing: what was asked for is wrong, missing or not allowed."""
    return isinstance(error, _FINAL) or getattr(error, "final", False)


def in_one_line(error: Exception) -> str:
    """The message, with what to do about it."""
    if isinstance(error, HubError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return f"{type(error).__name__}: {error}".splitlines()[0]
