"""Creates commits: blobs first, then one transaction that writes trees, the commit, and moves the ref.

A crash leaves unreferenced objects, never a ref to missing bytes: regular blobs are committed to the
database and large files are durable in the store before the transaction begins, and the transaction
refuses a large file that the repo has not been given.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from seedstock.core.clock import Clock
from seedstock.core.digests import EMPTY_TREE_OID, Digest, LfsPointer, Oid, git_oid, is_digest, parse_pointer
from seedstock.core.errors import BadCommit, EntryNotFound, RefMoved, RevisionNotFound
from seedstock.core.git_format import encode_commit, identity
from seedstock.core.names import check_file_path
from seedstock.core.viewer import Viewer
from seedstock.db import commits, files, git, refs, repos
from seedstock.db.commits import CommitRow
from seedstock.db.git import GitObject
from seedstock.db.repos import RepoRow
from seedstock.hub import revisions
from seedstock.hub.operations import Copy, Delete, DeleteFolder, Operation, Put, PutLarge, TreeEdit
from seedstock.hub.trees import TreeCache, Trees

STALE = "The branch was updated since you opened this page. Please refresh and try again."


class CommitMessage(msgspec.Struct, frozen=True):
    """What a commit says."""

    title: str
    description: str = ""

    def text(self) -> str:
        """As git stores it."""
        return f"{self.title}\n\n{self.description}".rstrip() if self.description else self.title


def blob_object(data: bytes) -> GitObject:
    """A regular file as a git object; one that is an LFS pointer is indexed as such."""
    pointer = parse_pointer(data)
    return GitObject(
        git_oid("blob", data),
        "blob",
        data,
        lfs_digest=pointer.digest if pointer else None,
        lfs_size_bytes=pointer.size_bytes if pointer else None,
    )


class CommitWriter:
    """Applies operations to a branch inside one transaction."""

    def __init__(self, connection: sa.Connection, repo: RepoRow, cache: TreeCache, clock: Clock) -> None:
        self._connection = connection
        self._repo = repo
        self._trees = Trees(connection, repo.id, cache)
        self._clock = clock

    def commit(
        self,
        ref: str,
        viewer: Viewer,
        message: CommitMessage,
        operations: Sequence[Operation],
        parent: str | None = None,
    ) -> CommitRow:
        """Commit to the branch and return the commit; the present head when nothing changes.

        Raises RevisionNotFound (no such branch), RefMoved (`parent`, possibly abbreviated, is not its head),
        EntryNotFound, BadPath, BadCommit.
        """
        head = refs.lock_ref(self._connection, self._repo.id, ref)
        if head is None:
            raise RevisionNotFound(ref.removeprefix("refs/heads/"))
        if parent is not None and not (len(parent) >= 5 and head.startswith(parent)):
            raise RefMoved(STALE)
        base = revisions.get_commit(self._connection, self._repo.id, head)
        edit = self._apply(base.tree_oid, operations)
        tree, objects = edit.write()
        if tree == base.tree_oid:
            return base
        return self._record(ref, viewer, message, tree, objects, base, edit.changes)

    def initial(
        self, ref: str, viewer: Viewer, message: CommitMessage, blobs: dict[str, GitObject]
    ) -> CommitRow:
        """Make the first commit of a repo or an orphan branch."""
        edit = TreeEdit(self._trees, EMPTY_TREE_OID)
        for path, blob in blobs.items():
            edit.put(path, Oid(blob.oid))
        tree, objects = edit.write()
        return self._record(ref, viewer, message, tree, [*objects, *blobs.values()], None, edit.changes)

    def squash(self, ref: str, viewer: Viewer, message: CommitMessage) -> CommitRow:
        """Put one parentless commit with the same files in place of a branch's history.

        Raises RevisionNotFound (no such branch).
        """
        head = refs.lock_ref(self._connection, self._repo.id, ref)
        if head is None:
            raise RevisionNotFound(ref.removeprefix("refs/heads/"))
        tree = Oid(revisions.get_commit(self._connection, self._repo.id, head).tree_oid)
        entries = self._trees.listing(tree, "", recursive=True)
        changes = {entry.path: "A" for entry in entries if not entry.is_tree}
        return self._record(ref, viewer, message, tree, [], None, changes, replaces=head)

    def _apply(self, tree: str, operations: Sequence[Operation]) -> TreeEdit:
        for operation in operations:
            check_file_path(
                operation.path.rstrip("/") if isinstance(operation, DeleteFolder) else operation.path
            )
        pointers = self._pointers([op for op in operations if isinstance(op, PutLarge)])
        self._check_pointers([op for op in operations if isinstance(op, Put)])
        edit = TreeEdit(self._trees, tree)
        edit.prefetch([operation.path for operation in operations])
        sources = [self._source(op, edit) for op in operations if isinstance(op, Copy)]
        # Deletions come first, so that "delete the folder, add a file in it" does what it says in any order.
        for operation in operations:
            if isinstance(operation, Delete):
                edit.delete(operation.path)
            elif isinstance(operation, DeleteFolder):
                edit.delete_folder(operation.path.rstrip("/"))
        for path, oid in sources:
            edit.put(path, oid)
        for operation in operations:
            if isinstance(operation, Put):
                edit.put(operation.path, operation.oid)
            elif isinstance(operation, PutLarge):
                edit.put(operation.path, pointers[operation.digest])
        return edit

    def _pointers(self, operations: Sequence[PutLarge]) -> dict[str, Oid]:
        """Store the pointer of every large file that the repo may name; digest to blob oid."""
        digests = [op.digest for op in operations]
        bad = next((digest for digest in digests if not is_digest(digest)), None)
        if bad is not None:
            raise BadCommit(f"Not a SHA-256: {bad[:80]!r}")
        known = files.files_in_repo(self._connection, self._repo.id, digests)
        pointers = []
        for op in operations:
            file = known.get(op.digest)
            if file is None:
                raise BadCommit(
                    f"{op.path}: no file with sha256 {op.digest} was uploaded to this repository",
                    hint="upload it before the commit that names it",
                )
            if op.size_bytes is not None and op.size_bytes != file.size_bytes:
                raise BadCommit(f"{op.path} has {file.size_bytes} bytes, not {op.size_bytes}")
            pointers.append(blob_object(LfsPointer(Digest(op.digest), file.size_bytes).encode()))
        git.insert_objects(self._connection, self._repo.id, pointers)
        return {str(item.lfs_digest): Oid(item.oid) for item in pointers}

    def _check_pointers(self, operations: Sequence[Put]) -> None:
        """Refuse small files that point at a large file which the repo was not given.

        A pointer is text that anybody can write; it must not become a right to read the bytes.
        """
        infos = git.load_blob_infos(self._connection, self._repo.id, [op.oid for op in operations])
        digests = [info.lfs_digest for info in infos.values() if info.lfs_digest is not None]
        known = files.files_in_repo(self._connection, self._repo.id, digests) if digests else {}
        for op in operations:
            info = infos[op.oid]
            if info.lfs_digest is None:
                continue
            file = known.get(info.lfs_digest)
            if file is None or file.size_bytes != info.lfs_size_bytes:
                raise BadCommit(
                    f"{op.path} is a pointer to a large file that was not uploaded to this repository",
                    hint="upload the file itself",
                )

    def _source(self, copy: Copy, edit: TreeEdit) -> tuple[str, Oid]:
        if copy.revision is None:
            item = edit.find(copy.source)
            oid = item.oid if item else None
        else:
            at = revisions.resolve(self._connection, self._repo, copy.revision)
            tree = revisions.get_commit(self._connection, self._repo.id, at.oid).tree_oid
            entry = self._trees.find(tree, copy.source)
            oid = Oid(entry.oid) if entry and not entry.is_tree else None
        if oid is None:
            raise EntryNotFound(f"A file with this name doesn't exist: {copy.source}")
        return copy.path, oid

    def _record(
        self,
        ref: str,
        viewer: Viewer,
        message: CommitMessage,
        tree: Oid,
        objects: list[GitObject],
        base: CommitRow | None,
        changes: dict[str, str],
        replaces: str | None = None,
    ) -> CommitRow:
        at = self._clock()
        author = identity(viewer.name or "seedstock", viewer.email or f"{viewer.name}@users.noreply")
        parents = [Oid(base.oid)] if base else []
        data = encode_commit(tree, parents, author, at // 1000, message.text())
        row = CommitRow(
            git_oid("commit", data),
            tree,
            base.generation + 1 if base else 1,
            viewer.name,
            message.title,
            message.description,
            at,
        )
        repo_id = self._repo.id
        git.insert_objects(self._connection, repo_id, [*objects, GitObject(row.oid, "commit", data)])
        if commits.find_commit(self._connection, repo_id, row.oid) is None:
            commits.insert_commit(self._connection, repo_id, row, parents, _with_folders(changes))
        old = replaces or (base.oid if base else None)
        if old is None:
            refs.insert_ref(self._connection, repo_id, ref, row.oid)
        elif not refs.move_ref(self._connection, repo_id, ref, old, row.oid):
            raise RefMoved(STALE)
        if ref == revisions.MAIN:
            # The badge speaks of the weights before; the analysis of these sets it again.
            repos.update_repo(self._connection, repo_id, head_oid=row.oid, updated_at=at, lineage=None)
        return row


def _with_folders(changes: dict[str, str]) -> dict[str, str]:
    """Changed files plus every folder above one, which "last changed" of a folder is answered from."""
    folders = {path[:i] for path in changes for i, char in enumerate(path) if char == "/"}
    return {**dict.fromkeys(folders - changes.keys(), "T"), **changes}
