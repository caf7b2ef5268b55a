"""Write side of a repo's content: what to upload how, and commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from seedstock.accounts.permissions import Action
from seedstock.content.service import Content
from seedstock.core.clock import Clock
from seedstock.core.digests import Oid
from seedstock.core.errors import Forbidden, TooLarge
from seedstock.core.names import RepoId, check_file_path
from seedstock.core.viewer import Viewer
from seedstock.db import git
from seedstock.db.commits import CommitRow
from seedstock.db.engine import Database
from seedstock.db.files import files_in_repo
from seedstock.db.repos import RepoRow
from seedstock.hub import revisions
from seedstock.hub.commits import CommitMessage, CommitWriter, blob_object
from seedstock.hub.gitattributes import REGULAR_MAX_BYTES, LargeFileRules
from seedstock.hub.ignore_patterns import compile_patterns
from seedstock.hub.index_queue import enqueue_index
from seedstock.hub.operations import Operation, Put, PutLarge
from seedstock.hub.repos import Repos
from seedstock.hub.trees import TreeCache, Trees
from seedstock.jobs.queue import Queue


class Candidate(msgspec.Struct, frozen=True):
    """A file that a client wants to upload."""

    path: str
    size_bytes: int
    sample: bytes


class UploadPlan(msgspec.Struct, frozen=True):
    """How one candidate is to be uploaded."""

    path: str
    large: bool
    ignore: bool
    present: str | None
    """What the branch holds at the path now: git oid of a small file, SHA-256 of a large one."""


class Writing:
    """Preupload and commit."""

    def __init__(
        self,
        database: Database,
        register: Repos,
        content: Content,
        queue: Queue,
        cache: TreeCache,
        clock: Clock,
    ) -> None:
        self._database = database
        self._register = register
        self._content = content
        self._queue = queue
        self._cache = cache
        self._clock = clock

    def plan(
        self,
        viewer: Viewer,
        repo_id: RepoId,
        revision: str,
        candidates: Sequence[Candidate],
        *,
        ignore: str | None = None,
        attributes: str | None = None,
    ) -> list[UploadPlan]:
        """Decide for each file whether it is large, ignored, or there already. Raises RevisionNotFound."""
        for candidate in candidates:
            check_file_path(candidate.path)
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            at = revisions.resolve(connection, repo, revision)
            tree = revisions.get_commit(connection, repo.id, at.oid).tree_oid
            trees = Trees(connection, repo.id, self._cache)

            def text_of(path: str) -> str:
                entry = trees.find(tree, path)
                if entry is None or entry.is_tree or entry.digest is not None:
                    return ""
                return git.load_objects(connection, repo.id, [entry.oid])[entry.oid][1].decode(
                    errors="replace"
                )

            rules = LargeFileRules(attributes if attributes is not None else text_of(".gitattributes"))
            ignored = compile_patterns((ignore if ignore is not None else text_of(".gitignore")).splitlines())
            entries = {candidate.path: trees.find(tree, candidate.path) for candidate in candidates}
            digests = [entry.digest for entry in entries.values() if entry is not None and entry.digest]
            unsound = self._content.unsound(files_in_repo(connection, repo.id, digests).values())
            plans = []
            for candidate in candidates:
                entry = entries[candidate.path]
                present = None if entry is None or entry.is_tree else entry.digest or entry.oid
                if present in unsound:
                    present = None  # damaged in the store: the client is to send it again
                large = rules.is_large(candidate.path, candidate.size_bytes, candidate.sample)
                plans.append(UploadPlan(candidate.path, large, ignored.match_file(candidate.path), present))
            return plans

    def begin(self, viewer: Viewer, repo_id: RepoId, revision: str) -> tuple[RepoRow, str]:
        """Check, before any byte is read, that the viewer may commit to the branch; its repo and full ref.

        Raises RevisionNotFound if there is no such branch, Forbidden if it is no branch.
        """
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            at = revisions.resolve(connection, repo, revision)
        if at.ref is None or not at.ref.startswith("refs/heads/"):
            raise Forbidden(f"{revision} is not a branch", hint="commit to a branch")
        return repo, at.ref

    def store_blobs(self, repo: RepoRow, contents: Sequence[bytes]) -> list[Oid]:
        """Make small files durable, unreferenced until a commit names them. Raises TooLarge."""
        for content in contents:
            if len(content) > REGULAR_MAX_BYTES:
                raise TooLarge(
                    f"A file of {len(content)} bytes was sent as a regular one; the limit is {REGULAR_MAX_BYTES}",
                    hint="upload it as a large file",
                )
        blobs = [blob_object(content) for content in contents]
        with self._database.write() as connection:
            git.insert_objects(connection, repo.id, blobs)
        return [Oid(blob.oid) for blob in blobs]

    def commit(
        self,
        viewer: Viewer,
        repo: RepoRow,
        ref: str,
        message: CommitMessage,
        operations: Sequence[Operation],
        parent: str | None = None,
    ) -> CommitRow:
        """Commit to a branch that `begin` returned. Raises what CommitWriter.commit raises."""
        with self._database.write() as connection:
            writer = CommitWriter(connection, repo, self._cache, self._clock)
            row = writer.commit(ref, viewer, message, operations, parent)
            enqueue_index(self._queue, connection, repo.id, row.oid)
            return row

    def create_with(
        self,
        viewer: Viewer,
        repo_id: RepoId,
        message: CommitMessage,
        small: Mapping[str, bytes],
        large: Sequence[PutLarge],
        *,
        private: bool | None,
    ) -> tuple[RepoRow, CommitRow]:
        """Create a repo with files, `large` ones being in the store already: nobody sees it without them.

        Raises what `Repos.create` and `commit` raise.
        """
        with self._register.creating(viewer, repo_id, private=private) as (connection, repo):
            self._content.allow_on(connection, repo.id, [put.digest for put in large])
            blobs = {path: blob_object(content) for path, content in small.items()}
            git.insert_objects(connection, repo.id, list(blobs.values()))
            puts: list[Operation] = [Put(path, Oid(blob.oid)) for path, blob in blobs.items()]
            writer = CommitWriter(connection, repo, self._cache, self._clock)
            row = writer.commit(revisions.MAIN, viewer, message, [*large, *puts], None)
            enqueue_index(self._queue, connection, repo.id, row.oid)
            return repo, row
