"""From a stage's output folder to a repo: files made durable one by one, then one commit that names them all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from seedstock.content.service import Content
from seedstock.core.errors import Unavailable
from seedstock.core.names import RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.gitattributes import LargeFileRules, default_attributes
from seedstock.hub.operations import Operation, Put, PutLarge
from seedstock.hub.repos import repo_id_of
from seedstock.hub.writing import Writing

_PIECE_BYTES = 1 << 20
_SAMPLE_BYTES = 512
_SPARE_BYTES = 64 << 20


class Publisher:
    """Commits folders."""

    def __init__(self, writing: Writing, content: Content) -> None:
        self._writing = writing
        self._content = content

    def check_space(self, folder: Path) -> None:
        """Raise Unavailable if the hub's disk has no room for the folder, before anything is made of it."""
        needed = sum(path.stat().st_size for path in iter_files(folder)) + _SPARE_BYTES
        free = self._content.staging.free_bytes()
        if free < needed:
            raise Unavailable(
                f"The result needs {needed / 1e6:,.0f} MB; {free / 1e6:,.0f} MB of the hub's disk are free"
            )

    def publish(
        self,
        viewer: Viewer,
        target: RepoRow,
        folder: Path,
        texts: dict[str, bytes],
        message: CommitMessage,
        on_file: Callable[[str], None] = lambda _path: None,
    ) -> str:
        """Commit a folder's files and some texts beside them; the commit. Files of the repo that are not named stay."""
        repo, ref = self._writing.begin(viewer, repo_id_of(target), "main")
        rules = LargeFileRules(default_attributes(RepoType(repo.type)).decode())
        operations: list[Operation] = []
        for path in iter_files(folder):
            name = path.relative_to(folder).as_posix()
            on_file(name)
            with path.open("rb") as file:
                sample = file.read(_SAMPLE_BYTES)
            if rules.is_large(name, path.stat().st_size, sample):
                operations.append(self._put_large(repo, name, path))
            else:
                operations.append(Put(name, self._writing.store_blobs(repo, [path.read_bytes()])[0]))
        oids = self._writing.store_blobs(repo, list(texts.values()))
        operations += [Put(name, oid) for name, oid in zip(texts, oids, strict=True)]
        return self._writing.commit(viewer, repo, ref, message, operations).oid

    def _put_large(self, repo: RepoRow, name: str, path: Path) -> PutLarge:
        with self._content.staging.open() as staged, path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                staged.write(piece)
            staged.finish()
            digest, size = staged.sha256, staged.size_bytes
            self._content.add_whole(repo.id, digest, size, staged)
        return PutLarge(name, digest, size)


def iter_files(folder: Path) -> Iterator[Path]:
    """Files below a folder, in the order of their paths."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def digests_of(folder: Path) -> dict[str, str]:
    """Path to SHA-256 of every file below a folder."""
    found = {}
    for path in iter_files(folder):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
