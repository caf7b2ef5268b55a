"""Folders and single files."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from starlette.responses import Response

from seedstock.core.errors import EntryNotFound
from seedstock.db.commits import CommitRow
from seedstock.db.refs import RefRow
from seedstock.http.call import Call
from seedstock.hub.browsing import BlobAt, FolderAt, Place
from seedstock.hub.trees import Entry
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.pages.cached_markdown import CACHE
from seedstock.web.pages.header import below, header_of
from seedstock.web.pages.weights import weight_view
from seedstock.web.rewriting import RepoLinks
from seedstock.web.views.common import Choice, Link, Pagination
from seedstock.web.views.files import (
    BinaryBody,
    BlobPage,
    CommitRowView,
    FileRowView,
    ImageBody,
    MarkdownBody,
    RevisionView,
    Storage,
    TextBody,
    TooLargeBody,
    TreePage,
)

routes = page_routes()

PAGE_SIZE = 500
SHOWN_TEXT_BYTES = 400_000
_SHOWN_LINES = 12_000
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp")
_MARKDOWN = (".md", ".markdown")


@routes.add("GET", *below("/tree/{rest:path}"))
def tree(call: Call) -> Response:
    """A folder; an address that turns out to name a file leads to its page."""
    number = call.number("page", 1, most=100_000) or 1
    repo_id, rest = call.repo_id(), call.param("rest")
    browsing = call.hub.browsing
    try:
        at = browsing.folder(call.viewer, repo_id, rest, PAGE_SIZE, (number - 1) * PAGE_SIZE)
    except EntryNotFound:
        place = browsing.place(call.viewer, repo_id, rest)
        if any(entry.path == place.path for entry in place.at.entries):
            return redirect(f"/{place.at.repo.url_path}/blob/{segment(place.revision)}/{quote(place.path)}")
        raise
    return show(call, _tree_page(call, at, number))


def _tree_page(call: Call, at: FolderAt, number: int) -> TreePage:
    place = at.place
    header = header_of(call, place.at, place.revision)
    base = f"{header.url}/tree/{segment(place.revision)}"
    parent = place.path.rpartition("/")[0]
    kinds = {
        panel.path: panel.quantisation or next(iter(panel.dtypes), "") for panel in place.at.metadata.panels
    }
    xet = xet_digests(call, place, at.entries)
    branch = any(ref.name == f"refs/heads/{place.revision}" for ref in place.refs)
    folder = f"?folder={quote(place.path, safe='')}" if place.path else ""
    return TreePage(
        header=header,
        revision=revision_view(header.url, place, "tree"),
        crumbs=crumbs(header.url, place),
        rows=tuple(
            _row(header.url, place, entry, at.last_commits.get(entry.path), kinds, xet)
            for entry in at.entries
        ),
        last_commit=commit_row(header.url, at.newest),
        commit_count=at.commit_count,
        total_bytes=_bytes_below(place),
        parent_href=f"{base}/{quote(parent)}".rstrip("/") if place.path else None,
        pagination=_pagination(f"{base}/{quote(place.path)}".rstrip("/"), at.total, number, len(at.entries)),
        upload_href=f"{header.url}/upload/{segment(place.revision)}{folder}"
        if header.can_write and branch
        else None,
    )


def _pagination(url: str, total: int, number: int, shown: int) -> Pagination | None:
    if total <= PAGE_SIZE:
        return None
    first = (number - 1) * PAGE_SIZE
    return Pagination(
        first=first + 1,
        last=first + shown,
        total=total,
        previous_href=f"{url}?page={number - 1}" if number > 1 else None,
        next_href=f"{url}?page={number + 1}" if first + shown < total else None,
    )


def _bytes_below(place: Place) -> int:
    prefix = f"{place.path}/" if place.path else ""
    return sum(entry.size_bytes for entry in place.at.entries if entry.path.startswith(prefix))


def _row(
    url: str, place: Place, entry: Entry, commit: CommitRow | None, kinds: dict[str, str], xet: set[str]
) -> FileRowView:
    revision, path = segment(place.revision), quote(entry.path)
    return FileRowView(
        name=entry.path.rpartition("/")[2],
        href=f"{url}/{'tree' if entry.is_tree else 'blob'}/{revision}/{path}",
        is_folder=entry.is_tree,
        size_bytes=None if entry.is_tree else entry.size_bytes,
        storage=storage_of(entry, xet),
        download_href=None if entry.is_tree else f"{url}/resolve/{revision}/{path}?download=true",
        commit=commit_row(url, commit) if commit else None,
        header_label=kinds.get(entry.path) or None,
    )


@routes.add("GET", *below("/blob/{rest:path}"))
def blob(call: Call) -> Response:
    """A file."""
    at = call.hub.browsing.blob(call.viewer, call.repo_id(), call.param("rest"))
    place, entry = at.place, at.file.entry
    header = header_of(call, place.at, place.revision)
    revision, path = segment(place.revision), quote(place.path)
    view = BlobPage(
        header=header,
        revision=revision_view(header.url, place, "blob"),
        crumbs=crumbs(header.url, place),
        name=place.path.rpartition("/")[2],
        size_bytes=entry.size_bytes,
        body=_body(at, header.url),
        download_href=f"{header.url}/resolve/{revision}/{path}?download=true",
        raw_href=f"{header.url}/raw/{revision}/{path}",
        history_href=f"{header.url}/commits/{revision}/{path}",
        storage=storage_of(entry, xet_digests(call, place, [entry])),
        digest=entry.digest,
        last_commit=commit_row(header.url, at.last_commit) if at.last_commit else None,
        weights=weight_view(call.hub.browsing.weights(at.file)),
    )
    return show(call, view)


def _body(at: BlobAt, url: str) -> TextBody | MarkdownBody | ImageBody | TooLargeBody | BinaryBody:
    path, data = at.place.path, at.file.data
    name = path.lower()
    if name.endswith(_IMAGES):
        return ImageBody(f"{url}/resolve/{segment(at.place.revision)}/{quote(path)}")
    if data is None or b"\0" in data[:8000]:
        return BinaryBody()
    if len(data) > SHOWN_TEXT_BYTES:
        return TooLargeBody(SHOWN_TEXT_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return BinaryBody()
    if name.endswith(_MARKDOWN):
        links = RepoLinks(url, at.place.revision, path.rpartition("/")[0])
        return MarkdownBody(CACHE.render(at.file.entry.oid, text, links))
    lines = text.splitlines()
    return TooLargeBody(SHOWN_TEXT_BYTES) if len(lines) > _SHOWN_LINES else TextBody(tuple(lines))


def segment(revision: str) -> str:
    """A revision as one path segment."""
    return quote(revision, safe="")


def commit_row(url: str, commit: CommitRow) -> CommitRowView:
    """A commit in a list."""
    return CommitRowView(
        oid=commit.oid,
        title=commit.title,
        href=f"{url}/commit/{commit.oid}",
        author=commit.author or "unknown",
        committed_at=moment(commit.committed_at),
        body=commit.message,
        author_href=f"/{quote(commit.author, safe='')}" if commit.author else None,
    )


def storage_of(entry: Entry, xet: set[str]) -> Storage:
    """How a file's bytes are kept."""
    if entry.digest is None:
        return Storage.GIT
    return Storage.XET if entry.digest in xet else Storage.LFS


def xet_digests(call: Call, place: Place, entries: Sequence[Entry]) -> set[str]:
    """Those of the large files that are stored in chunks."""
    digests = [entry.digest for entry in entries if entry.digest is not None]
    found = call.hub.content.find_in_repo(place.at.repo.id, digests) if digests else {}
    return {digest for digest, row in found.items() if row.xet_hash is not None and row.object_key is None}


def crumbs(url: str, place: Place) -> tuple[Link, ...]:
    """The way from the top of the repo to the place."""
    base = f"{url}/tree/{segment(place.revision)}"
    parts = place.path.split("/") if place.path else []
    steps = [Link(part, f"{base}/{quote('/'.join(parts[: at + 1]))}") for at, part in enumerate(parts)]
    return (Link(place.at.repo.name, base), *steps)


def revision_view(url: str, place: Place, verb: str) -> RevisionView:
    """The shown revision, and the branches and tags to switch to."""
    path = f"/{quote(place.path)}" if place.path else ""

    def choices(prefix: str) -> tuple[Choice, ...]:
        found: list[RefRow] = [ref for ref in place.refs if ref.name.startswith(prefix)]
        names = sorted((ref.name.removeprefix(prefix) for ref in found), key=lambda name: name != "main")
        return tuple(
            Choice(name, f"{url}/{verb}/{segment(name)}{path}", name == place.revision)
            for name in names[:100]
        )

    name = place.revision if len(place.revision) < 40 else place.revision[:12]
    return RevisionView(name, place.at.commit.oid, choices("refs/heads/"), choices("refs/tags/"))
