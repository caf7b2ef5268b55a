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
from seedstock.hub.derived import Committer, Place
from seedstock.hub.gitattributes import LargeFileRules, default_attributes
from seedstock.hub.operations import PutLarge
from seedstock.hub.writing import Writing

_PIECE_BYTES = 1 << 20
_SAMPLE_BYTES = 512
_SPARE_BYTES = 64 << 20


class Publisher:
    """Commits folders."""

    def __init__(self, writing: Writing, content: Content) -> None:
        self._committer = Committer(writing, content)
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
        place: Place,
        folder: Path,
        texts: dict[str, bytes],
        message: CommitMessage,
        on_file: Callable[[str], None] = lambda _path: None,
    ) -> tuple[RepoRow, str]:
        """Commit a folder's files and some texts beside them (`Committer.commit`); the repo and the commit."""
        rules = LargeFileRules(default_attributes(RepoType.MODEL).decode())
        small, large = dict[str, bytes](), list[PutLarge]()
        for path in iter_files(folder):
            name = path.relative_to(folder).as_posix()
            on_file(name)
            with path.open("rb") as file:
                sample = file.read(_SAMPLE_BYTES)
            if rules.is_large(name, path.stat().st_size, sample):
                large.append(self._store(name, path))
            else:
                small[name] = path.read_bytes()
        return self._committer.commit(viewer, place, message, small | texts, large)

    def _store(self, name: str, path: Path) -> PutLarge:
        with self._content.staging.open() as staged, path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                staged.write(piece)
            return PutLarge(name, self._content.add_made(staged), staged.size_bytes)


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
