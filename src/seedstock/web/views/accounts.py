"""People, organisations, tokens, background jobs and errors."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Link, Notice, Page, Pagination
from seedstock.web.views.repos import RepoCardView


class AccountKind(StrEnum):
    """A person or a group of them."""

    USER = "user"
    ORGANISATION = "organisation"


class MemberView(msgspec.Struct, frozen=True):
    """A member of an organisation."""

    name: str
    href: str
    role: str


class ProfileView(msgspec.Struct, frozen=True):
    """An account's public face."""

    name: str
    kind: AccountKind
    joined_at: datetime
    about: str = ""
    organisations: tuple[Link, ...] = ()
    members: tuple[MemberView, ...] = ()


class ProfilePage(Page, frozen=True):
    """An account's repositories, likes or members: `tabs` says which, by its selected choice."""

    template: ClassVar[str] = "profile.html"

    profile: ProfileView
    tabs: tuple[Choice, ...]
    repos: tuple[RepoCardView, ...] = ()
    shows_members: bool = False
    is_own: bool = False
    pagination: Pagination | None = None


class LoginPage(Page, frozen=True):
    """Sign in; `next` is a path on this host to return to."""

    template: ClassVar[str] = "login.html"

    next: str = "/"
    name: str = ""
    error: str | None = None


class TokenRowView(msgspec.Struct, frozen=True):
    """An access token as it may be shown after its creation."""

    id: str
    name: str
    role: str
    hint: str
    created_at: datetime
    last_used_at: datetime | None = None


class NewTokenView(msgspec.Struct, frozen=True):
    """A token just made; the only time its secret is shown."""

    name: str
    secret: str


class TokensPage(Page, frozen=True):
    """The viewer's access tokens."""

    template: ClassVar[str] = "tokens.html"

    tokens: tuple[TokenRowView, ...]
    created: NewTokenView | None = None
    notice: Notice | None = None


class ErrorPage(Page, frozen=True):
    """What went wrong; a private repository and a missing one get the same words."""

    template: ClassVar[str] = "error.html"

    status: int
    title: str
    message: str
    hint: str | None = None
    request_id: str | None = None
    login_href: str | None = None
