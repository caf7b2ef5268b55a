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
        evidence,
        family,
        files,
        foundations,
        history,
        job,
        jobs,
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

    found = [adapt, replicate, convert, family, evidence, openness, foundations, trace]
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
