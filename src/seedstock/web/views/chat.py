"""Chat, a shared chat, the comparison of models, and the arena."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Link, Page


class ChatPage(Page, frozen=True):
    """One's chats and the one that is open; the script fills them in.

    `blocked` says in a sentence why the viewer cannot chat, if so.
    """

    template: ClassVar[str] = "chat.html"

    chat: str | None = None
    """The chat to open; None: a new one."""
    model: str = ""
    """To begin a new chat with."""
    starters: tuple[str, ...] = ()
    blocked: str | None = None
    login_href: str = "/login?next=/chat"


class SharedFileView(msgspec.Struct, frozen=True):
    """A file that goes with a question."""

    name: str
    text: str


class SharedMessageView(msgspec.Struct, frozen=True):
    """A question, or an answer as safe HTML."""

    is_question: bool
    text: str = ""
    html: str = ""
    model: str = ""
    reasoning: str = ""
    files: tuple[SharedFileView, ...] = ()


class SharedChatPage(Page, frozen=True):
    """A chat as it was when it was shared."""

    template: ClassVar[str] = "chat_shared.html"

    title: str
    system: str
    shared_at: datetime
    messages: tuple[SharedMessageView, ...]


class ComparePage(Page, frozen=True):
    """One prompt to several models; the script does it."""

    template: ClassVar[str] = "compare.html"

    battle: str | None = None
    models: tuple[str, ...] = ()
    blocked: str | None = None
    login_href: str = "/login?next=/compare"


class StandingView(msgspec.Struct, frozen=True):
    """A model in the arena's table, with no address if it is closed; `span` is the interval's ends and the strength between them, from 0 to 100."""

    model: Link
    votes: int
    wins: int
    losses: int
    ties: int
    group: int
    rank: int | None = None
    strength: int | None = None
    interval: str = ""
    span: tuple[float, float, float] | None = None


class CellView(msgspec.Struct, frozen=True):
    """How a row did against a column: share of wins, and how many votes that rests on."""

    share: float | None
    games: int


class ArenaPage(Page, frozen=True):
    """Strengths from blind votes, and the wins between pairs, in the order of the standings."""

    template: ClassVar[str] = "arena.html"

    votes: int
    enough: int
    """Votes below which a model has no rank."""
    standings: tuple[StandingView, ...] = ()
    cells: tuple[tuple[CellView, ...], ...] = ()
    """Of the first of them, where there are many."""
    groups: int = 0
