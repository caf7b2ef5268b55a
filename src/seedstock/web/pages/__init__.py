"""The web pages: handlers that turn what services return into view models."""

from __future__ import annotations

from types import ModuleType


def groups() -> list[ModuleType]:
    """The modules that declare pages; those whose address can be any account's or repo's come last."""
    from seedstock.web.pages import (
        accounts,
        adapt,
        card,
        chat,
        compare,
        convert,
        evaluation,
        evidence,
        family,
        files,
        foundations,
        history,
        job,
        jobs,
        leaderboard,
        listings,
        manage,
        openness,
        remotes,
        replicate,
        sessions,
        site,
        trace,
        upload,
        usage,
    )

    found = [
        adapt,
        replicate,
        convert,
        evaluation,
        family,
        evidence,
        openness,
        foundations,
        leaderboard,
        trace,
    ]
    return [
        site,
        listings,
        sessions,
        jobs,
        job,
        remotes,
        usage,
        manage,
        chat,
        compare,
        *found,
        files,
        history,
        upload,
        card,
        accounts,
    ]
