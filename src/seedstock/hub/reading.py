"""What can be read of a repo: a revision's info, trees, history, and single files."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from seedstock.accounts.permissions import Action, check
from seedstock.content.service import Content
from seedstock.core.errors import EntryNotFound, MissingBlob
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import commits, files, git, likes
from seedstock.db.commits import CommitRow
from seedstock.db.engine import Database
from seedstock.db.files import FileRow
from seedstock.db.repos import RepoRow
from seedstock.hub import metadata, revisions, trees
from seedstock.hub.repos import Repos
from seedstock.hub.revisions import Revision
from seedstock.hub.snapshots import Snapshot, Snapshots
from seedstock.hub.trees import Entry, TreeCache, Trees
from seedstock.metadata.summary import RepoMetadata

# What says how to get access must be readable without it.
_UNGATED = frozenset({"README.md", ".gitattributes"})


class RepoAt(msgspec.Struct, frozen=True):
    """A repo at one of its commits."""

    repo: RepoRow
    revision: Revision
    snapshot: Snapshot
    liked: bool
    """By the viewer."""

    @property
    def commit(self) -> CommitRow:
        """The commit."""
        return self.snapshot.commit

    @property
    def entries(self) -> list[Entry]:
        """Every file and folder."""
        return self.snapshot.entries

    @property
    def metadata(self) -> RepoMetadata:
        """What the commit says about itself."""
        return self.snapshot.metadata


class FileAt(msgspec.Struct, frozen=True):
    """One file of a revision: either small (`data`) or large (`file`)."""

    repo: RepoRow
    commit_oid: str
    path: str
    entry: Entry
    data: bytes | None
    file: FileRow | None

    @property
    def etag(self) -> str:
        """SHA-256 of a large file, git oid of a small one."""
        return self.entry.digest or self.entry.oid


class LargeFile(msgspec.Struct, frozen=True):
    """A large file that a repo was given, whether or not a commit still names it."""

    digest: str
    size_bytes: int
    added_at: int
    path: str | None
    """Where it is at the head of main."""


class TreePage(msgspec.Struct, frozen=True):
    """Part of a listing."""

    entries: list[Entry]
    last_commits: dict[str, CommitRow]
    xet_hashes: dict[str, str]
    """SHA-256 to Xet hash, of those files that have one."""
    next_offset: int | None


class Reading:
    """Read side of the hub."""

    def __init__(self, database: Database, register: Repos, content: Content, cache: TreeCache) -> None:
        self._database = database
        self._register = register
        self._content = content
        self._cache = cache
        self._snapshots = Snapshots(cache)

    def repo_at(self, viewer: Viewer, repo_id: RepoId, revision: str = "main") -> RepoAt:
        """A repo with all that its info says. Raises RepoNotFound, RevisionNotFound."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            return self.repo_at_on(connection, viewer, repo, revisions.resolve(connection, repo, revision))

    def repo_at_on(self, connection: sa.Connection, viewer: Viewer, repo: RepoRow, at: Revision) -> RepoAt:
        """`repo_at`, of a repo that the viewer was found to see."""
        snapshot = self._snapshots.get(connection, repo, at.oid)
        liked = viewer.account_id is not None and likes.likes_repo(connection, repo.id, viewer.account_id)
        return RepoAt(repo, at, snapshot, liked)

    def heads(self, viewer: Viewer, found: Sequence[RepoRow]) -> list[RepoAt]:
        """Repos of a listing that the viewer was shown, each at the head of main."""
        keys = [(repo.id, repo.head_oid) for repo in found]
        with self._database.read() as connection:
            heads = commits.find_commits(connection, keys)
            trees.preload(connection, self._cache, [(key[0], row.tree_oid) for key, row in heads.items()])
            metadata.preload(connection, keys, self._snapshots.records)
            liked = set()
            if viewer.account_id is not None:
                liked = likes.liked_among(connection, [repo.id for repo in found], viewer.account_id)
            return [
                RepoAt(
                    repo,
                    Revision(repo.head_oid, revisions.MAIN),
                    self._snapshots.get_preloaded(connection, repo, heads[key]),
                    repo.id in liked,
                )
                for repo, key in zip(found, keys, strict=True)
                if key in heads
            ]

    def tree(
        self,
        viewer: Viewer,
        repo_id: RepoId,
        rest: str,
        *,
        recursive: bool,
        expand: bool,
        limit: int,
        offset: int,
    ) -> TreePage:
        """A page of the folder that `revision[/path]` names. Raises EntryNotFound unless it is a folder."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            revision, path = revisions.split(connection, repo, rest)
            commit = revisions.get_commit(connection, repo.id, revision.oid)
            reader = Trees(connection, repo.id, self._cache)
            try:
                entries = reader.listing(commit.tree_oid, path.strip("/"), recursive=recursive)
            except EntryNotFound as error:
                raise EntryNotFound(error.message, commit=commit.oid) from None
            page = entries[offset : offset + limit]
            last = (
                commits.last_touching(connection, repo.id, commit.oid, [entry.path for entry in page])
                if expand
                else {}
            )
        more = offset + limit if offset + limit < len(entries) else None
        return TreePage(page, last, self._xet_hashes(repo.id, page), more)

    def paths(
        self, viewer: Viewer, repo_id: RepoId, revision: str, paths: Sequence[str], *, expand: bool
    ) -> TreePage:
        """Those of the paths that exist in a revision."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            at = revisions.resolve(connection, repo, revision)
            commit = revisions.get_commit(connection, repo.id, at.oid)
            reader = Trees(connection, repo.id, self._cache)
            found = [reader.find(commit.tree_oid, path.strip("/")) for path in dict.fromkeys(paths)]
            entries = [entry for entry in found if entry is not None]
            last = (
                commits.last_touching(connection, repo.id, commit.oid, [entry.path for entry in entries])
                if expand
                else {}
            )
        return TreePage(entries, last, self._xet_hashes(repo.id, entries), None)

    def _xet_hashes(self, repo_id: int, entries: Sequence[Entry]) -> dict[str, str]:
        digests = [entry.digest for entry in entries if entry.digest is not None]
        if not digests:
            return {}
        found = self._content.find_in_repo(repo_id, digests)
        return {digest: row.xet_hash for digest, row in found.items() if row.xet_hash is not None}

    def file(self, viewer: Viewer, repo_id: RepoId, rest: str) -> FileAt:
        """The file that `revision/path` names.

        Raises RepoNotFound, RevisionNotFound, EntryNotFound (with the commit), MissingBlob.
        """
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            revision, path = revisions.split(connection, repo, rest)
            check_file(viewer, repo, path)
            commit = revisions.get_commit(connection, repo.id, revision.oid)
            entry = Trees(connection, repo.id, self._cache).find(commit.tree_oid, path)
            if entry is None or entry.is_tree:
                raise EntryNotFound(commit=commit.oid)
            if entry.digest is None:
                data = git.load_objects(connection, repo.id, [entry.oid])[entry.oid][1]
                return FileAt(repo, commit.oid, path, entry, data, None)
        # By way of the repo's own files: a pointer alone is no right to the bytes.
        file = self._content.find_in_repo(repo.id, [entry.digest]).get(entry.digest)
        if file is None:
            raise MissingBlob(f"{path} points at a file that this repository was not given")
        return FileAt(repo, commit.oid, path, entry, None, file)

    def large_files(self, viewer: Viewer, repo_id: RepoId, limit: int, offset: int) -> list[LargeFile]:
        """A page of the large files of a repo, for those who may write to it."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            found = files.files_of_repo(connection, repo.id, limit, offset)
            tree = revisions.get_commit(connection, repo.id, repo.head_oid).tree_oid
            entries = Trees(connection, repo.id, self._cache).listing(tree, "", recursive=True)
        paths = {entry.digest: entry.path for entry in entries}
        return [LargeFile(digest, size, at, paths.get(digest)) for digest, size, at in found]

    def pointer(self, file: FileAt) -> bytes:
        """The text that git holds for a file: its content, or its LFS pointer."""
        if file.data is not None:
            return file.data
        with self._database.read() as connection:
            return git.load_objects(connection, file.repo.id, [file.entry.oid])[file.entry.oid][1]

    def history(
        self, viewer: Viewer, repo_id: RepoId, revision: str, *, limit: int, offset: int
    ) -> tuple[list[CommitRow], int]:
        """A page of commits, newest first, and how many there are in all."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            at = revisions.resolve(connection, repo, revision)
            page = commits.history(connection, repo.id, at.oid, limit, offset)
            return page, commits.count_history(connection, repo.id, at.oid)

    def commit(
        self, viewer: Viewer, repo_id: RepoId, revision: str
    ) -> tuple[RepoRow, CommitRow, list[str], list[tuple[str, str]]]:
        """A commit with its parents and changed files (kind, path)."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            at = revisions.resolve(connection, repo, revision)
            commit = revisions.get_commit(connection, repo.id, at.oid)
            parents = commits.parents_of(connection, repo.id, commit.oid)
            return repo, commit, parents, commits.changes_of(connection, repo.id, commit.oid)

    def likers(self, viewer: Viewer, repo_id: RepoId, limit: int, offset: int) -> list[tuple[str, str]]:
        """Name and full name of those who like a repo."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            return likes.likers(connection, repo.id, limit, offset)


def check_file(viewer: Viewer, repo: RepoRow, path: str) -> None:
    """Raise GatedRepo unless the viewer, who may see the repo, may also read that file."""
    if path not in _UNGATED:
        check(viewer, Action.DOWNLOAD, repo)
