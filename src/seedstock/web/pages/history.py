"""Commits: the list of a revision or of one path, and single ones."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from seedstock.http.call import Call
from seedstock.hub.browsing import Change
from seedstock.web.pages.answer import page_routes, show
from seedstock.web.pages.files import commit_row, revision_view, segment, storage_of
from seedstock.web.pages.header import below, header_of
from seedstock.web.views.common import Link, Pagination
from seedstock.web.views.files import ChangeKind, ChangeRowView, CommitPage, CommitsPage

routes = page_routes()

PAGE_SIZE = 50


@routes.add("GET", *below("/commits/{rest:path}"))
def commits(call: Call) -> Response:
    """History, newest first."""
    number = call.number("page", 1, most=1_000_000) or 1
    first = (number - 1) * PAGE_SIZE
    at = call.hub.browsing.history(call.viewer, call.repo_id(), call.param("rest"), PAGE_SIZE, first)
    place = at.place
    header = header_of(call, place.at, place.revision)
    path = f"/{quote(place.path)}" if place.path else ""
    url = f"{header.url}/commits/{segment(place.revision)}{path}"
    view = CommitsPage(
        header=header,
        revision=revision_view(header.url, place, "commits"),
        commits=tuple(commit_row(header.url, row) for row in at.commits),
        pagination=Pagination(
            first=first + 1 if at.commits else 0,
            last=first + len(at.commits),
            total=at.total,
            previous_href=f"{url}?page={number - 1}" if number > 1 else None,
            next_href=f"{url}?page={number + 1}" if at.more else None,
        ),
        path=place.path or None,
    )
    return show(call, view)


@routes.add("GET", *below("/commit/{oid}"))
def commit(call: Call) -> Response:
    """One commit with what it changed."""
    at = call.hub.browsing.commit(call.viewer, call.repo_id(), call.param("oid"))
    header = header_of(call, at.at)
    oid = at.at.commit.oid
    view = CommitPage(
        header=header,
        commit=commit_row(header.url, at.at.commit),
        parents=tuple(Link(parent[:12], f"{header.url}/commit/{parent}") for parent in at.parents),
        changes=tuple(_change(header.url, oid, change) for change in at.changes),
        browse_href=f"{header.url}/tree/{oid}",
    )
    return show(call, view)


def _change(url: str, oid: str, change: Change) -> ChangeRowView:
    before, after = change.before, change.after
    kind = ChangeKind.DELETED if after is None else ChangeKind.MODIFIED if before else ChangeKind.ADDED
    entry = after or before
    return ChangeRowView(
        path=change.path,
        kind=kind,
        href=f"{url}/blob/{oid}/{quote(change.path)}" if after else None,
        old_size_bytes=before.size_bytes if before else None,
        new_size_bytes=after.size_bytes if after else None,
        **({"storage": storage_of(entry, set())} if entry else {}),
    )
