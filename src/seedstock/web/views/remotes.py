"""Remotes, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Notice, Page


class RemoteView(msgspec.Struct, frozen=True):
    """A remote as it stands; `key` is `set`, `none` or `unreadable`, and nothing shows more of it."""

    name: str
    kind: str
    url: str
    key: str
    models: tuple[str, ...]
    """The ids that callers use."""
    offers_all: bool
    accounts: tuple[str, ...] | None
    listed_at: datetime | None = None
    models_text: str = ""
    accounts_text: str = ""


class NewRemoteView(msgspec.Struct, frozen=True):
    """What was typed into the form; never the key."""

    name: str = ""
    kind: str = "openai"
    url: str = ""
    models: str = ""
    accounts: str = ""
    error: str | None = None


class RemotesPage(Page, frozen=True):
    """All remotes, and the form for a new one."""

    template: ClassVar[str] = "remotes.html"

    remotes: tuple[RemoteView, ...]
    new: NewRemoteView = NewRemoteView()
    notice: Notice | None = None
    enabled: bool = True
