"""Profiles of users and organisations, and the viewer's access tokens."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from seedstock.core.errors import Forbidden, Invalid, NotFound, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoType
from seedstock.core.viewer import TokenRole
from seedstock.db.accounts import AccountRow
from seedstock.http.call import Call
from seedstock.hub.listing import ListQuery, RepoPage
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.pages.cards import cards_of
from seedstock.web.views.accounts import (
    AccountKind,
    MemberView,
    NewTokenView,
    ProfilePage,
    ProfileView,
    TokenRowView,
    TokensPage,
)
from seedstock.web.views.common import Choice, Link, Notice, NoticeKind, Pagination

routes = page_routes()

PAGE_SIZE = 30
_TABS = ("models", "datasets", "likes", "members")


@routes.add("GET", "/settings/tokens")
def tokens(call: Call) -> Response:
    """The viewer's tokens."""
    return _tokens_page(call)


@routes.add("POST", "/settings/tokens")
def create_token(call: Call) -> Response:
    """Make a token; this answer is the only one that shows it."""
    _check_browser_session(call)
    form = call.form()
    name = form.get("name", [""])[0].strip()[:64]
    role = form.get("role", ["read"])[0]
    if not name or role not in {TokenRole.READ, TokenRole.WRITE}:
        return _tokens_page(
            call, notice=Notice(NoticeKind.BAD, "A token needs a name and a role."), status=400
        )
    secret = call.hub.accounts.create_token(call.viewer.name, role=TokenRole(role), name=name)
    return _tokens_page(call, created=NewTokenView(name, secret))


@routes.add("POST", "/settings/tokens/{token}/revoke")
def revoke_token(call: Call) -> Response:
    """Revoke a token."""
    _check_browser_session(call)
    text = call.param("token")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid("No such token")
    call.hub.accounts.revoke_token(call.viewer, int(text))
    return redirect("/settings/tokens?done=revoked")


def _check_browser_session(call: Call) -> None:
    """Tokens are managed by people: one token may not make another."""
    credential = call.viewer.credential
    if credential is None:
        raise Unauthenticated("Sign in to manage access tokens")
    if credential.session is None:
        raise Forbidden("Access tokens are managed in the browser")


def _tokens_page(
    call: Call, *, created: NewTokenView | None = None, notice: Notice | None = None, status: int = 200
) -> Response:
    _check_browser_session(call)
    assert call.viewer.account_id is not None
    if notice is None and call.query("done") == "revoked":
        notice = Notice(NoticeKind.GOOD, "The token is revoked; whatever used it is signed out.")
    rows = tuple(
        TokenRowView(
            id=str(token.id),
            name=token.name,
            role=token.role,
            hint=f"hf_…{token.hint}",
            created_at=moment(token.created_at),
            last_used_at=moment(token.last_used_at) if token.last_used_at else None,
        )
        for token in call.hub.accounts.tokens(call.viewer.account_id)
    )
    response = show(call, TokensPage(rows, created, notice), status)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.add("GET", "/{account:account}")
def profile(call: Call) -> Response:
    """An account's public face."""
    try:
        account = call.hub.accounts.get(call.param("account"))
    except NotFound:
        raise RepoNotFound from None  # the words of any page that is not there
    wanted = call.query("tab") or ""
    tab = wanted if wanted in _TABS else "models"
    number = call.number("page", 1, most=10_000) or 1
    first = (number - 1) * PAGE_SIZE
    found = _repos(call, account, tab, first)
    url = f"/{quote(account.name, safe='')}"
    members = _members(call, account)
    view = ProfilePage(
        profile=ProfileView(
            name=account.name,
            kind=AccountKind.ORGANISATION if account.kind == "org" else AccountKind.USER,
            joined_at=moment(account.created_at),
            about=account.details or (account.full_name if account.full_name != account.name else ""),
            organisations=_organisations(call, account),
            members=members,
        ),
        tabs=tuple(_tabs(call, account, tab, url, len(members))),
        repos=cards_of(call, [found])[0],
        shows_members=tab == "members",
        is_own=account.id == call.viewer.account_id,
        pagination=Pagination(
            first=first + 1,
            last=first + len(found.repos),
            previous_href=f"{url}?tab={tab}&page={number - 1}" if number > 1 else None,
            next_href=f"{url}?tab={tab}&page={number + 1}" if found.next_offset is not None else None,
        ),
    )
    return show(call, view)


def _repos(call: Call, account: AccountRow, tab: str, first: int) -> RepoPage:
    if tab == "members":
        return RepoPage([], {}, None)
    if tab == "likes":
        liked = call.hub.listing.liked_by(account.id, call.viewer, PAGE_SIZE + 1, first)
        repos = [repo for repo, _ in liked[:PAGE_SIZE]]
        more = first + PAGE_SIZE if len(liked) > PAGE_SIZE else None
        return RepoPage(repos, call.hub.listing.tags_of(repos), more)
    query = ListQuery(type=tab, author=account.name, sort="lastModified", limit=PAGE_SIZE, offset=first)
    return call.hub.listing.page(call.viewer, query)


def _tabs(call: Call, account: AccountRow, tab: str, url: str, members: int) -> list[Choice]:
    def count(type: RepoType) -> int:
        return call.hub.listing.count(call.viewer, ListQuery(type=type, author=account.name))

    shown: list[tuple[str, str, int | None]] = [
        ("models", "Models", count(RepoType.MODEL)),
        ("datasets", "Datasets", count(RepoType.DATASET)),
    ]
    shown.append(("members", "Members", members) if account.kind == "org" else ("likes", "Likes", None))
    return [
        Choice(label, url if name == "models" else f"{url}?tab={name}", name == tab, number)
        for name, label, number in shown
    ]


def _members(call: Call, account: AccountRow) -> tuple[MemberView, ...]:
    if account.kind != "org":
        return ()
    found = call.hub.accounts.members(account.id)
    return tuple(MemberView(row.name, f"/{quote(row.name, safe='')}", role) for row, role in found)


def _organisations(call: Call, account: AccountRow) -> tuple[Link, ...]:
    if account.kind == "org":
        return ()
    return tuple(
        Link(name, f"/{quote(name, safe='')}") for name in call.hub.accounts.organisations(account.id)
    )
