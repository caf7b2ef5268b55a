"""What the web pages show of a repo: each method answers one page with a small, fixed number of queries."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import msgspec
import sqlalchemy as sa

from seedstock.content.service import Content
from seedstock.core.errors import EntryNotFound, UnsupportedFormat
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import commits, git, refs
from seedstock.db.commits import CommitRow
from seedstock.db.engine import Database
from seedstock.db.refs import RefRow
from seedstock.hub import revisions
from seedstock.hub.metadata import ContentReader
from seedstock.hub.reading import FileAt, Reading, RepoAt, check_file
from seedstock.hub.repos import Repos
from seedstock.hub.trees import Entry, TreeCache, Trees
from seedstock.metadata.gguf_header import GgufHeader, read_gguf_header
from seedstock.metadata.safetensors_header import SafetensorsHeader, read_safetensors_header

WeightHeader = GgufHeader | SafetensorsHeader
_CACHED_HEADERS = 32


class Place(msgspec.Struct, frozen=True):
    """Where in a repo a page is: the revision as it was written, and the path below it."""

    at: RepoAt
    revision: str
    path: str
    refs: list[RefRow]


class FolderAt(msgspec.Struct, frozen=True):
    """A page of a folder."""

    place: Place
    entries: list[Entry]
    total: int
    last_commits: dict[str, CommitRow]
    newest: CommitRow
    """The last commit that changed anything in the folder."""
    commit_count: int


class BlobAt(msgspec.Struct, frozen=True):
    """A file and the last commit that changed it."""

    place: Place
    file: FileAt
    last_commit: CommitRow | None


class HistoryAt(msgspec.Struct, frozen=True):
    """A page of commits; `total` is None where only one path is looked at."""

    place: Place
    commits: list[CommitRow]
    total: int | None
    more: bool


class Change(msgspec.Struct, frozen=True):
    """A file of a commit, before and after."""

    path: str
    before: Entry | None
    after: Entry | None


class CommitAt(msgspec.Struct, frozen=True):
    """A commit with what it changed against its first parent."""

    at: RepoAt
    parents: list[str]
    changes: list[Change]


class Browsing:
    """Read side of the web pages."""

    def __init__(
        self, database: Database, register: Repos, reading: Reading, content: Content, cache: TreeCache
    ) -> None:
        self._database = database
        self._register = register
        self._reading = reading
        self._content = content
        self._cache = cache
        self._headers: OrderedDict[str, WeightHeader] = OrderedDict()
        self._lock = Lock()

    def _place(self, connection: sa.Connection, viewer: Viewer, repo_id: RepoId, rest: str) -> Place:
        repo = self._register.get_on(connection, viewer, repo_id)
        revision, path = revisions.split(connection, repo, rest.strip("/"))
        at = self._reading.repo_at_on(connection, viewer, repo, revision)
        written = rest.strip("/")[: -len(path) or None].rstrip("/") if path else rest.strip("/")
        return Place(at, written, path.strip("/"), refs.list_refs(connection, repo.id))

    def place(self, viewer: Viewer, repo_id: RepoId, rest: str) -> Place:
        """What `revision[/path]` leads to, whether or not the path exists. Raises like `Reading.repo_at`."""
        with self._database.read() as connection:
            return self._place(connection, viewer, repo_id, rest)

    def folder(self, viewer: Viewer, repo_id: RepoId, rest: str, limit: int, offset: int) -> FolderAt:
        """A page of a folder, folders first. Raises EntryNotFound."""
        with self._database.read() as connection:
            place = self._place(connection, viewer, repo_id, rest)
            commit, own = place.at.commit, place.at.repo.id
            trees = Trees(connection, own, self._cache)
            found = trees.listing(commit.tree_oid, place.path, recursive=False)
            found.sort(key=lambda entry: not entry.is_tree)
            page = found[offset : offset + limit]
            paths = [entry.path for entry in page]
            last = commits.last_touching(
                connection, own, commit.oid, [*paths, place.path] if place.path else paths
            )
            newest = last.pop(place.path, commit) if place.path else commit
            count = commits.count_history(connection, own, commit.oid)
        return FolderAt(place, page, len(found), last, newest, count)

    def blob(self, viewer: Viewer, repo_id: RepoId, rest: str) -> BlobAt:
        """A file. Raises GatedRepo, EntryNotFound (with the commit)."""
        with self._database.read() as connection:
            place = self._place(connection, viewer, repo_id, rest)
            own, commit = place.at.repo, place.at.commit
            check_file(viewer, own, place.path)
            entry = Trees(connection, own.id, self._cache).find(commit.tree_oid, place.path)
            if entry is None or entry.is_tree:
                raise EntryNotFound(commit=commit.oid)
            data = None
            if entry.digest is None:
                data = git.load_objects(connection, own.id, [entry.oid])[entry.oid][1]
            last = commits.last_touching(connection, own.id, commit.oid, [place.path]).get(place.path)
        file = None if entry.digest is None else self._content.get(entry.digest)
        return BlobAt(place, FileAt(own, commit.oid, place.path, entry, data, file), last)

    def history(self, viewer: Viewer, repo_id: RepoId, rest: str, limit: int, offset: int) -> HistoryAt:
        """Commits of a revision, or those of them that touch a path, newest first."""
        with self._database.read() as connection:
            place = self._place(connection, viewer, repo_id, rest)
            own, oid = place.at.repo.id, place.at.commit.oid
            if place.path:
                found = commits.history_of_path(connection, own, oid, place.path, limit + 1, offset)
                total = None
            else:
                found = commits.history(connection, own, oid, limit + 1, offset)
                total = commits.count_history(connection, own, oid)
        return HistoryAt(place, found[:limit], total, len(found) > limit)

    def commit(self, viewer: Viewer, repo_id: RepoId, revision: str) -> CommitAt:
        """A commit with its changes. Raises RevisionNotFound."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            at = self._reading.repo_at_on(
                connection, viewer, repo, revisions.resolve(connection, repo, revision)
            )
            parents = commits.parents_of(connection, repo.id, at.commit.oid)
            changed = commits.changes_of(connection, repo.id, at.commit.oid)
            before: dict[str, Entry] = {}
            if parents and changed:
                parent = revisions.get_commit(connection, repo.id, parents[0])
                trees = Trees(connection, repo.id, self._cache)
                old = trees.listing(parent.tree_oid, "", recursive=True)
                before = {entry.path: entry for entry in old}
        after = {entry.path: entry for entry in at.entries}
        return CommitAt(at, parents, [Change(path, before.get(path), after.get(path)) for _, path in changed])

    def readme(self, at: RepoAt) -> tuple[str, str] | None:
        """Oid and text of the card at a revision, if there is one among the small files."""
        entry = next((entry for entry in at.entries if entry.path == "README.md"), None)
        if entry is None or entry.is_tree or entry.digest is not None:
            return None
        with self._database.read() as connection:
            data = git.load_objects(connection, at.repo.id, [entry.oid])[entry.oid][1]
        return entry.oid, data.decode(errors="replace")

    def weights(self, file: FileAt) -> WeightHeader | None:
        """The header of a weight file; None for other files and for damaged ones."""
        name, digest = file.path.lower(), file.entry.digest
        if digest is None or not name.endswith((".gguf", ".safetensors")):
            return None
        with self._lock:
            if digest in self._headers:
                return self._headers[digest]
        reader = ContentReader(self._content, digest)
        try:
            header: WeightHeader = (
                read_gguf_header(reader) if name.endswith(".gguf") else read_safetensors_header(reader)
            )
        except UnsupportedFormat:
            return None
        with self._lock:
            self._headers[digest] = header
            while len(self._headers) > _CACHED_HEADERS:
                self._headers.popitem(last=False)
        return header
