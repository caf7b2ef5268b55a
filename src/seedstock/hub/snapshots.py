"""All that a repo's info says of one commit, kept in memory: commits never change.

What does change (names, visibility, counts, where refs point) is never here; callers look the repo up and
check the viewer first, every time. The record of the index job arrives some time after the commit, so
that a snapshot without it is replaced by one with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import msgspec
import sqlalchemy as sa

from seedstock.db.commits import CommitRow
from seedstock.db.repos import RepoRow
from seedstock.hub import revisions
from seedstock.hub.metadata import MetadataCache, describe, describe_preloaded
from seedstock.hub.trees import Entry, TreeCache, Trees
from seedstock.metadata.summary import RepoMetadata

_CACHED_ENTRIES = 200_000


class Snapshot(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """A commit of a repo. Identity is equality, so that what is derived from it can hang on it weakly."""

    commit: CommitRow
    entries: list[Entry]
    """Every file and folder."""
    metadata: RepoMetadata
    complete: bool
    """Whether the index job has filed the metadata; weight headers are in it only then."""


class Snapshots:
    """Snapshots seen lately, bounded by the entries they hold. Repo ids are never used again."""

    def __init__(self, trees: TreeCache, max_entries: int = _CACHED_ENTRIES) -> None:
        self.records = MetadataCache()
        self._trees = trees
        self._snapshots: OrderedDict[tuple[int, str], Snapshot] = OrderedDict()
        self._entries = 0
        self._max_entries = max_entries
        self._lock = Lock()

    def get(self, connection: sa.Connection, repo: RepoRow, oid: str) -> Snapshot:
        """The snapshot of a commit that a ref of the repo led to. Raises RevisionNotFound."""
        known = self._find(repo.id, oid)
        if known is not None and known.complete:
            return known
        commit = known.commit if known else revisions.get_commit(connection, repo.id, oid)
        return self._renew(connection, repo, commit, known, describe)

    def get_preloaded(self, connection: sa.Connection, repo: RepoRow, commit: CommitRow) -> Snapshot:
        """`get`, after `metadata.preload` of the commit into `records`."""
        known = self._find(repo.id, commit.oid)
        if known is not None and known.complete:
            return known
        return self._renew(connection, repo, commit, known, describe_preloaded)

    def _find(self, repo_id: int, oid: str) -> Snapshot | None:
        with self._lock:
            known = self._snapshots.get((repo_id, oid))
            if known is not None:
                self._snapshots.move_to_end((repo_id, oid))
            return known

    def _renew(
        self,
        connection: sa.Connection,
        repo: RepoRow,
        commit: CommitRow,
        known: Snapshot | None,
        described: Callable[[sa.Connection, RepoRow, str, list[Entry], MetadataCache], RepoMetadata],
    ) -> Snapshot:
        """The known snapshot if there is nothing new to say, else another."""
        trees = Trees(connection, repo.id, self._trees)
        entries = known.entries if known else trees.listing(commit.tree_oid, "", recursive=True)
        metadata = described(connection, repo, commit.oid, entries, self.records)
        if known is not None and known.metadata is metadata:
            return known
        record = self.records.get(repo.id, commit.oid)
        complete = record is not None and record[0] is metadata and record[1]
        fresh = Snapshot(commit, entries, metadata, complete)
        self._put((repo.id, commit.oid), fresh)
        return fresh

    def _put(self, key: tuple[int, str], snapshot: Snapshot) -> None:
        with self._lock:
            old = self._snapshots.pop(key, None)
            self._entries += _weight(snapshot) - (_weight(old) if old else 0)
            self._snapshots[key] = snapshot
            while self._entries > self._max_entries and len(self._snapshots) > 1:
                self._entries -= _weight(self._snapshots.popitem(last=False)[1])


def _weight(snapshot: Snapshot) -> int:
    return len(snapshot.entries) + 20
