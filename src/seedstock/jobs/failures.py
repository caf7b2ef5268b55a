"""What an attempt that failed says, and whether another could end otherwise."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from seedstock.core.errors import Forbidden, HubError, Invalid, NotFound, Unauthenticated

_FINAL = (Invalid, NotFound, Forbidden, Unauthenticated)


def is_final(error: Exception) -> bool:
    """Whether trying again changes nothing: what was asked for is wrong, missing or not allowed."""
    return isinstance(error, _FINAL) or getattr(error, "final", False)


def full_disk(error: OSError, folder: Path) -> str | None:
    """What to say of an error that comes of a full disk, if it does; `folder` is where the job keeps its state."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return None
    free = shutil.disk_usage(folder).free
    return f"The disk is full: {free / 1e6:,.1f} MB are free where the job keeps its state (free some and retry the job)"


def in_one_line(error: Exception) -> str:
    """The message, with what to do about it."""
    if isinstance(error, HubError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return f"{type(error).__name__}: {error}".splitlines()[0]
