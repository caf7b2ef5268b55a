"""Opens a commit of a model for analysis: its listing, its metadata, and its files as ranges.

An analysis may take minutes, so that no transaction is held while files are read.
"""

from __future__ import annotations

import msgspec

from seedstock.content.service import Content
from seedstock.core.errors import HubError, Unavailable
from seedstock.db import commits, git, repos
from seedstock.db.engine import Database
from seedstock.db.repos import RepoRow
from seedstock.hub.metadata import ContentReader, MetadataCache, describe
from seedstock.hub.trees import Entry, TreeCache, Trees
from seedstock.metadata.source import BytesReader, RangeReader
from seedstock.metadata.summary import RepoMetadata

MAX_TEXT_BYTES = 4 << 20


class ModelRevision(msgspec.Struct, frozen=True):
    """A model repo at one of its commits."""

    repo: RepoRow
    commit_oid: str
    entries: tuple[Entry, ...]
    metadata: RepoMetadata

    @property
    def name(self) -> str:
        """`namespace/name`."""
        return self.repo.repo_id

    def find(self, path: str) -> Entry | None:
        """The file at that path."""
        return next((entry for entry in self.entries if entry.path == path and not entry.is_tree), None)


class ModelRevisions:
    """Reads models for the analysis; permissions are the caller's business."""

    def __init__(self, database: Database, content: Content, cache: TreeCache) -> None:
        self._database = database
        self._content = content
        self._cache = cache

    def find(self, repo_id: int, commit_oid: str | None = None) -> ModelRevision | None:
        """A commit, by default the head of main; None if the repo or the commit is gone."""
        with self._database.read() as connection:
            repo = repos.find_repo_by_id(connection, repo_id)
            if repo is None:
                return None
            commit = commits.find_commit(connection, repo_id, commit_oid or repo.head_oid)
            if commit is None:
                return None
            listing = Trees(connection, repo_id, self._cache).listing(commit.tree_oid, "", recursive=True)
            files = [entry for entry in listing if not entry.is_tree]
            record = describe(connection, repo, commit.oid, files, MetadataCache())
        return ModelRevision(repo, commit.oid, tuple(files), record)

    def open(self, revision: ModelRevision, entry: Entry) -> RangeReader:
        """A file of the commit, to be read anywhere. Raises MissingBlob, CorruptBlock while it is read."""
        if entry.digest is not None:
            return ContentReader(self._content, entry.digest)
        with self._database.read() as connection:
            stored = git.load_objects(connection, revision.repo.id, [entry.oid])
        return BytesReader(stored[entry.oid][1])

    def find_bytes(
        self, revision: ModelRevision, path: str, limit_bytes: int = MAX_TEXT_BYTES
    ) -> bytes | None:
        """The content of a small file; None if it is absent, larger than that, or damaged."""
        entry = revision.find(path)
        if entry is None or entry.size_bytes > limit_bytes:
            return None
        try:
            return self.open(revision, entry).read(0, entry.size_bytes)
        except Unavailable:
            raise
        except HubError:
            return None
