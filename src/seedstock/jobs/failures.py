"""What an attempt that failed says, and whether another could end otherwise."""

from __future__ import annotations

import errno

from seedstock.core.errors import Forbidden, HubError, Invalid, NotFound, Unauthenticated

_FINAL = (Invalid, NotFound, Forbidden, Unauthenticated)


def is_final(error: Exception) -> bool:
    """Whether trying again changes nothing: what was asked for is wrong, missing or not allowed."""
    return isinstance(error, _FINAL) or getattr(error, "final", False)


def in_one_line(error: Exception) -> str:
    """The message, with what to do about it."""
    if isinstance(error, HubError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        place = f" ({error.filename})" if error.filename else ""
        return f"The disk is full{place}: free some space and retry the job"
    return f"{type(error).__name__}: {error}".splitlines()[0]
