"""The web pages: handlers that turn what services return into view models."""

from __future__ import annotations

from types import ModuleType


def groups() -> list[ModuleType]:
    """The modules that declare pages; those whose address can be any account's or repo's come last."""
    from seedstock.web.pages import (
        accounts,
        card,
        chat,
        convert,
        evidence,
        family,
        files,
        foundations,
        history,
        jobs,
        listings,
        manage,
        openness,
        sessions,
        site,
        trace,
        upload,
    )

    found = [convert, family, evidence, openness, foundations, trace]
    return [site, listings, sessions, jobs, manage, *found, files, history, upload, chat, card, accounts]
