"""Repositories as wholes: create, find, change, move, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa
import sqlalchemy.exc

from seedstock.accounts.permissions import Action, allowed, check, check_create
from seedstock.core.clock import Clock
from seedstock.core.digests import ZERO_OID
from seedstock.core.errors import BadName, Forbidden, NameTaken, RepoNotFound
from seedstock.core.names import RepoId, RepoType, check_repo_name
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db import accounts, likes, lineage, repos
from seedstock.db.accounts import AccountRow
from seedstock.db.engine import Database
from seedstock.db.repos import RepoRow
from seedstock.hub import revisions
from seedstock.hub.commits import CommitMessage, CommitWriter, blob_object
from seedstock.hub.gitattributes import default_attributes
from seedstock.hub.index_queue import enqueue_family, enqueue_index, enqueue_relatives
from seedstock.hub.trees import TreeCache
from seedstock.jobs.queue import Queue


class RepoMoved(RepoNotFound):
    """The repo has another name now; HTTP answers a redirect to it."""

    def __init__(self, repo: RepoRow) -> None:
        super().__init__(f"Repository moved to {repo.repo_id}")
        self.repo = repo


class RepoSettings(msgspec.Struct, frozen=True):
    """What the owner may change; None leaves it."""

    private: bool | None = None
    gated: str | bool | None = None


class Repos:
    """The register of repositories."""

    def __init__(self, database: Database, queue: Queue, cache: TreeCache, clock: Clock) -> None:
        self._database = database
        self._queue = queue
        self._cache = cache
        self._clock = clock

    def get(self, viewer: Viewer, repo_id: RepoId, action: Action = Action.READ) -> RepoRow:
        """The repo, if the viewer may do that to it.

        Raises RepoNotFound, RepoMoved, Unauthenticated or Forbidden.
        """
        with self._database.read() as connection:
            return self.get_on(connection, viewer, repo_id, action)

    def get_on(
        self, connection: sa.Connection, viewer: Viewer, repo_id: RepoId, action: Action = Action.READ
    ) -> RepoRow:
        """`get`, on a connection that is already open."""
        repo = repos.find_repo(connection, repo_id.type, repo_id.namespace, repo_id.name)
        if repo is None:
            moved = repos.find_moved(connection, repo_id.type, repo_id.namespace, repo_id.name)
            if moved is None:
                raise RepoNotFound
            check(viewer, Action.READ, moved)
            raise RepoMoved(moved)
        check(viewer, action, repo)
        return repo

    def by_id(self, viewer: Viewer, ids: Iterable[int]) -> dict[int, RepoRow]:
        """Those of the repos that the viewer may see."""
        with self._database.read() as connection:
            found = repos.repos_by_id(connection, ids)
        return {id: repo for id, repo in found.items() if allowed(viewer, Action.READ, repo)}

    def create(self, viewer: Viewer, repo_id: RepoId, *, private: bool | None = None) -> RepoRow:
        """Create a repo with its first commit. `private` None takes the namespace's default.

        Raises BadName, Unauthenticated, Forbidden, or NameTaken.
        """
        with self.creating(viewer, repo_id, private=private) as (_, repo):
            return repo

    @contextmanager
    def creating(
        self, viewer: Viewer, repo_id: RepoId, *, private: bool | None = None
    ) -> Iterator[tuple[sa.Connection, RepoRow]]:
        """`create`, in a transaction that the caller goes on with: the repo appears with what was added, or not at all."""
        namespace = self._namespace(viewer, repo_id)
        try:
            with self._database.write() as connection:
                repo = self._insert(connection, viewer, repo_id, namespace, private)
                writer = CommitWriter(connection, repo, self._cache, self._clock)
                attributes = blob_object(default_attributes(repo_id.type))
                first = writer.initial(
                    revisions.MAIN, viewer, CommitMessage("initial commit"), {".gitattributes": attributes}
                )
                enqueue_index(self._queue, connection, repo.id, first.oid)
                yield connection, _by_id(connection, repo.id)
        except sqlalchemy.exc.IntegrityError:
            raise NameTaken(f"You already created this {repo_id.type.singular} repo: {repo_id}") from None

    def duplicate(
        self, viewer: Viewer, source: RepoId, target: RepoId, *, private: bool | None = None
    ) -> RepoRow:
        """Create a repo with all that another holds, history included; no byte of a large file is copied.

        Raises like `get` and `create`.
        """
        namespace = self._namespace(viewer, target)
        try:
            with self._database.write() as connection:
                original = self.get_on(connection, viewer, source, Action.DOWNLOAD)
                if private is None and (original.private or original.gated):
                    private = True
                repo = self._insert(connection, viewer, target, namespace, private)
                repos.copy_contents(connection, original.id, repo.id)
                same = ("head_oid", "pipeline_tag", "library_name", "license", "parameters", "runnable")
                values = {name: getattr(original, name) for name in (*same, "used_storage_bytes")}
                repos.update_repo(connection, repo.id, **values)
                return _by_id(connection, repo.id)
        except sqlalchemy.exc.IntegrityError:
            raise NameTaken(f"A {target.type.singular} repository called {target} already exists") from None

    def check_new(self, viewer: Viewer, repo_id: RepoId) -> None:
        """Raise BadName, Unauthenticated or Forbidden unless the viewer may create a repo of that name."""
        self._namespace(viewer, repo_id)

    def _namespace(self, viewer: Viewer, repo_id: RepoId) -> AccountRow:
        """The account that a new repo would belong to. Raises BadName, Unauthenticated or Forbidden."""
        check_repo_name(repo_id.name)
        if viewer.anonymous:
            check_create(viewer, 0, repo_id.namespace)
        with self._database.read() as connection:
            namespace = accounts.find_account(connection, repo_id.namespace)
        if namespace is None:
            raise Forbidden(f"You don't have the rights to create a repository under {repo_id.namespace}")
        check_create(viewer, namespace.id, namespace.name)
        return namespace

    def _insert(
        self,
        connection: sa.Connection,
        viewer: Viewer,
        repo_id: RepoId,
        namespace: AccountRow,
        private: bool | None,
    ) -> RepoRow:
        at = self._clock()
        repos.clear_redirect(connection, repo_id.type, namespace.name, repo_id.name)
        new_id = repos.insert_repo(
            connection,
            type=repo_id.type,
            namespace_id=namespace.id,
            name=repo_id.name,
            name_key=repo_id.name.lower(),
            private=namespace.private_by_default if private is None else private,
            disabled=False,
            created_by=viewer.account_id,
            created_at=at,
            updated_at=at,
            head_oid=ZERO_OID,
        )
        repo = _by_id(connection, new_id)
        self._audit(connection, viewer, "repo.create", repo)
        return repo

    def change(self, viewer: Viewer, repo_id: RepoId, settings: RepoSettings) -> RepoRow:
        """Change visibility or gating. Raises like `get`."""
        values: dict[str, object] = {}
        if settings.private is not None:
            values["private"] = settings.private
        if settings.gated is not None:
            if settings.gated not in {False, "auto", "manual"}:
                raise BadName(f"gated is false, 'auto' or 'manual', not {settings.gated!r}")
            values["gated"] = settings.gated or None
        with self._database.write() as connection:
            repo = self.get_on(connection, viewer, repo_id, Action.ADMIN)
            if values:
                repos.update_repo(connection, repo.id, **values)
                self._audit(connection, viewer, "repo.settings", repo, values)
            if settings.private not in {None, repo.private}:
                enqueue_family(self._queue, connection, repo, self._clock())
            return _by_id(connection, repo.id)

    def move(self, viewer: Viewer, source: RepoId, target: RepoId) -> RepoRow:
        """Rename a repo or move it to another namespace; the old name redirects. Raises NameTaken."""
        check_repo_name(target.name)
        try:
            with self._database.write() as connection:
                repo = self.get_on(connection, viewer, source, Action.ADMIN)
                namespace = accounts.find_account(connection, target.namespace)
                if namespace is None:
                    raise Forbidden(f"You don't have the rights to move a repository to {target.namespace}")
                check_create(viewer, namespace.id, namespace.name)
                repos.clear_redirect(connection, target.type, target.namespace, target.name)
                repos.update_repo(
                    connection,
                    repo.id,
                    namespace_id=namespace.id,
                    name=target.name,
                    name_key=target.name.lower(),
                )
                if repo.private:  # what it was called in private is not to come out with it
                    lineage.forget_records(connection, repo.id)
                if repo.private or namespace.id != repo.namespace_id:
                    enqueue_family(self._queue, connection, repo, self._clock())
                if str(source).lower() != str(target).lower():
                    repos.set_redirect(connection, source.type, source.namespace, source.name, repo.id)
                self._audit(connection, viewer, "repo.move", repo, {"to": str(target)})
                return _by_id(connection, repo.id)
        except sqlalchemy.exc.IntegrityError:
            raise NameTaken(f"A {target.type.singular} repository called {target} already exists") from None

    def delete(self, viewer: Viewer, repo_id: RepoId) -> None:
        """Delete a repo. Its large files stay in the store until garbage collection."""
        with self._database.write() as connection:
            repo = self.get_on(connection, viewer, repo_id, Action.ADMIN)
            self._audit(connection, viewer, "repo.delete", repo)
            enqueue_relatives(self._queue, connection, repo.id, self._clock())
            bases = lineage.parents_of(connection, repo.id)
            repos.delete_repo(connection, repo.id)
            lineage.count_children(connection, bases)

    def like(self, viewer: Viewer, repo_id: RepoId, *, liked: bool) -> RepoRow:
        """Like or unlike a repo that the viewer may read. Raises Unauthenticated, Forbidden."""
        with self._database.write() as connection:
            repo = self.get_on(connection, viewer, repo_id)
            if viewer.account_id is None:
                check_create(viewer, 0, "")
            elif viewer.credential is not None and viewer.credential.role is not TokenRole.WRITE:
                raise Forbidden(
                    "A token that only reads likes nothing", hint="use a token with the write role"
                )
            elif liked:
                likes.add_like(connection, repo.id, viewer.account_id, self._clock())
            else:
                likes.remove_like(connection, repo.id, viewer.account_id)
            return _by_id(connection, repo.id)

    def _audit(
        self, connection: sa.Connection, viewer: Viewer, action: str, repo: RepoRow, detail: object = None
    ) -> None:
        accounts.insert_audit(
            connection, self._clock(), viewer.account_id, viewer.name, action, repo.url_path, detail
        )


def _by_id(connection: sa.Connection, repo_id: int) -> RepoRow:
    repo = repos.find_repo_by_id(connection, repo_id)
    assert repo is not None
    return repo


def repo_id_of(repo: RepoRow) -> RepoId:
    """The full name of a stored repo."""
    return RepoId(RepoType(repo.type), repo.namespace, repo.name)
