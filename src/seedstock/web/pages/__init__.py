"""The web pages: handlers that turn what services return into view models."""

from __future__ import annotations

from types import ModuleType


def groups() -> list[ModuleType]:
    """The modules that declare pages; those whose address can be any account's or repo's come last."""
    from seedstock.web.pages import (
        accounts,
        card,
        chat,
        files,
        history,
        jobs,
        listings,
        manage,
        sessions,
        site,
        upload,
    )

    return [site, listings, sessions, jobs, manage, files, history, upload, chat, card, accounts]
