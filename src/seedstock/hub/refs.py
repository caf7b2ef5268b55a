"""Branches and tags."""

from __future__ import annotations

import sqlalchemy as sa
import sqlalchemy.exc

from seedstock.accounts.permissions import Action
from seedstock.core.clock import Clock
from seedstock.core.errors import Conflict, Forbidden, RevisionNotFound
from seedstock.core.names import RepoId, check_ref_name
from seedstock.core.viewer import Viewer
from seedstock.db import refs
from seedstock.db.engine import Database
from seedstock.db.refs import RefRow
from seedstock.hub import revisions
from seedstock.hub.commits import CommitMessage, CommitWriter
from seedstock.hub.index_queue import enqueue_index
from seedstock.hub.repos import Repos
from seedstock.hub.trees import TreeCache
from seedstock.jobs.queue import Queue


class Refs:
    """Refs of repos, changed by those who may write."""

    def __init__(
        self, database: Database, register: Repos, queue: Queue, cache: TreeCache, clock: Clock
    ) -> None:
        self._database = database
        self._register = register
        self._queue = queue
        self._cache = cache
        self._clock = clock

    def list(self, viewer: Viewer, repo_id: RepoId) -> list[RefRow]:
        """Every ref, by full name."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            return refs.list_refs(connection, repo.id)

    def create_branch(
        self,
        viewer: Viewer,
        repo_id: RepoId,
        name: str,
        *,
        start: str | None = None,
        empty: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Create a branch at a revision (default: the head of main), or an orphan one with no files.

        Raises BadName, Conflict, RevisionNotFound.
        """
        ref = f"refs/heads/{check_ref_name(name)}"
        with self._database.write() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            if overwrite and ref != revisions.MAIN:
                refs.delete_ref(connection, repo.id, ref)
            self._check_free(connection, repo.id, ref)
            if empty:
                writer = CommitWriter(connection, repo, self._cache, self._clock)
                writer.initial(ref, viewer, CommitMessage("initial commit"), {})
            else:
                at = revisions.resolve(connection, repo, start or "main")
                refs.insert_ref(connection, repo.id, ref, at.oid)

    def delete_branch(self, viewer: Viewer, repo_id: RepoId, name: str) -> None:
        """Delete a branch other than main. Raises Forbidden, RevisionNotFound."""
        ref = f"refs/heads/{name}"
        with self._database.write() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            if ref == revisions.MAIN:
                raise Forbidden(f"Cannot delete {ref}")
            if not refs.delete_ref(connection, repo.id, ref):
                raise RevisionNotFound(name)

    def squash(self, viewer: Viewer, repo_id: RepoId, name: str, message: str) -> None:
        """Replace the history of a branch by one commit; tags keep what they point at.

        Raises RevisionNotFound.
        """
        with self._database.write() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            writer = CommitWriter(connection, repo, self._cache, self._clock)
            row = writer.squash(f"refs/heads/{name}", viewer, CommitMessage(message))
            enqueue_index(self._queue, connection, repo.id, row.oid)

    def create_tag(
        self, viewer: Viewer, repo_id: RepoId, name: str, *, revision: str, message: str | None = None
    ) -> None:
        """Tag a revision. Raises BadName, Conflict, RevisionNotFound."""
        ref = f"refs/tags/{check_ref_name(name)}"
        with self._database.write() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            at = revisions.resolve(connection, repo, revision)
            self._check_free(connection, repo.id, ref)
            refs.insert_ref(connection, repo.id, ref, at.oid, message)

    def delete_tag(self, viewer: Viewer, repo_id: RepoId, name: str) -> None:
        """Delete a tag. Raises RevisionNotFound."""
        with self._database.write() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            if not refs.delete_ref(connection, repo.id, f"refs/tags/{name}"):
                raise RevisionNotFound(name)

    def _check_free(self, connection: sa.Connection, repo_id: int, ref: str) -> None:
        """Refuse a ref that exists or that git could not hold beside another (`a` and `a/b`)."""
        parts = ref.split("/")
        above = ["/".join(parts[:count]) for count in range(3, len(parts))]
        present = refs.find_refs(connection, repo_id, [ref, *above])
        below = refs.first_ref_below(connection, repo_id, ref + "/")
        if ref in present:
            raise Conflict(f"Reference {ref} already exists")
        clash = next(iter(present), below)
        if clash is not None:
            raise Conflict(f"Reference {ref} cannot exist beside {clash}")
