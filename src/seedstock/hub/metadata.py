"""What a revision says about itself: the stored record, or its card and configs read on the spot.

Weight headers are read by the job `index_revision` after a push; until it has run, a revision is described
by its small files alone.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock

import msgspec
import sqlalchemy as sa

from seedstock.content.service import Content
from seedstock.core.errors import EntryNotFound, UnsupportedFormat
from seedstock.core.names import RepoType
from seedstock.db import git
from seedstock.db import metadata as rows
from seedstock.db.repos import RepoRow
from seedstock.hub.trees import Entry
from seedstock.metadata.source import BytesReader, FileEntry, RangeReader
from seedstock.metadata.summary import RepoMetadata, summarise

VERSION = 1
"""Raise when the record changes meaning; older ones are then read anew."""

_CACHED_COMMITS = 2_000


class ContentReader:
    """A RangeReader over a large file of the store."""

    def __init__(self, content: Content, digest: str) -> None:
        self._content = content
        self._file = content.get(digest)
        self._trusted = content.trust(self._file)

    @property
    def size_bytes(self) -> int:
        """Size of the plain bytes."""
        return self._file.size_bytes

    def read(self, start: int, stop: int) -> bytes:
        """Plain bytes [start, stop)."""
        path = self._trusted.path if self._trusted is not None else None
        if (
            path is not None
        ):  # without asking the database each time: comparing weights reads in thousands of places
            with path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), min(stop, self._file.size_bytes) - start, start)
        return b"".join(self._content.open_range(self._file, start, min(stop, self._file.size_bytes)))


class RevisionFiles:
    """Opens files of one listing for the metadata reader; large ones only if `content` is given."""

    def __init__(
        self, connection: sa.Connection, repo_id: int, entries: list[Entry], content: Content | None
    ) -> None:
        self._connection = connection
        self._repo_id = repo_id
        self._entries = {entry.path: entry for entry in entries if not entry.is_tree}
        self._content = content

    def listing(self) -> list[FileEntry]:
        """Paths and sizes."""
        return [FileEntry(entry.path, entry.size_bytes) for entry in self._entries.values()]

    def open(self, path: str) -> RangeReader:
        """Open one file. Raises EntryNotFound, or UnsupportedFormat for a large file that is not read here."""
        entry = self._entries.get(path)
        if entry is None:
            raise EntryNotFound(path)
        if entry.digest is not None:
            if self._content is None:
                raise UnsupportedFormat("The header has not been read yet")
            return ContentReader(self._content, entry.digest)
        stored = git.load_objects(self._connection, self._repo_id, [entry.oid])
        return BytesReader(stored[entry.oid][1])


class MetadataCache:
    """Records of commits seen lately; those read on the spot are kept apart by their completeness."""

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[int, str], tuple[RepoMetadata, bool]] = OrderedDict()
        self._lock = Lock()

    def get(self, repo_id: int, commit: str) -> tuple[RepoMetadata, bool] | None:
        """The record and whether it is complete."""
        with self._lock:
            return self._records.get((repo_id, commit))

    def put(self, repo_id: int, commit: str, record: RepoMetadata, *, complete: bool) -> None:
        """Remember a record."""
        with self._lock:
            self._records[(repo_id, commit)] = (record, complete)
            while len(self._records) > _CACHED_COMMITS:
                self._records.popitem(last=False)


def preload(connection: sa.Connection, keys: list[tuple[int, str]], cache: MetadataCache) -> None:
    """Bring the stored records of several repos' commits into the cache with one query."""
    missing = [key for key in keys if (cached := cache.get(*key)) is None or not cached[1]]
    for (repo_id, commit), stored in rows.find_many(connection, missing, VERSION).items():
        cache.put(repo_id, commit, msgspec.convert(stored, RepoMetadata), complete=True)


def describe_preloaded(
    connection: sa.Connection, repo: RepoRow, commit: str, entries: list[Entry], cache: MetadataCache
) -> RepoMetadata:
    """`describe` after `preload`: what is not in the cache by now is not stored either."""
    cached = cache.get(repo.id, commit)
    if cached is not None:
        return cached[0]
    files = RevisionFiles(connection, repo.id, entries, None)
    record = summarise(files.listing(), files.open, repo_type=RepoType(repo.type))
    cache.put(repo.id, commit, record, complete=False)
    return record


def describe(
    connection: sa.Connection, repo: RepoRow, commit: str, entries: list[Entry], cache: MetadataCache
) -> RepoMetadata:
    """The metadata of a commit: stored, or read from its small files."""
    cached = cache.get(repo.id, commit)
    if cached is not None and cached[1]:
        return cached[0]
    stored = rows.find_metadata(connection, repo.id, commit, VERSION)
    if stored is not None:
        record = msgspec.convert(stored, RepoMetadata)
        cache.put(repo.id, commit, record, complete=True)
        return record
    return describe_preloaded(connection, repo, commit, entries, cache)
