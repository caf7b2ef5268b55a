"""Plain bytes of large files, whatever representation they have.

`open_range`, `trust` and `local_file` are the only ways out; LFS, Xet, git and the browser are views of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from seedstock.content.objects import StoredObjects, TrustedFile
from seedstock.content.soundness import unsound_files
from seedstock.content.xet_index import XorbIndexes
from seedstock.content.xet_read import XetReader
from seedstock.core.clock import Clock
from seedstock.core.errors import BadUpload, CorruptBlock, MissingBlob
from seedstock.db import files as rows
from seedstock.db.engine import Database
from seedstock.db.files import FileRow
from seedstock.store.staging import StagedFile, Staging

log = logging.getLogger("seedstock.content")

_Representation = Callable[[int, int], Iterator[bytes]]
"""Yields plain bytes [start, stop), verified."""


class Content:
    """Large files of the hub."""

    def __init__(
        self, database: Database, objects: StoredObjects, staging: Staging, cache_dir: Path, clock: Clock
    ) -> None:
        self.objects = objects
        self.staging = staging
        self.xet_reader = XetReader(database, objects, XorbIndexes(database))
        self._database = database
        self._cache_dir = cache_dir
        self._clock = clock

    def find_in_repo(self, repo_id: int, digests: Sequence[str]) -> dict[str, FileRow]:
        """Those of the files that may be named by hash in the repo."""
        with self._database.read() as connection:
            return rows.files_in_repo(connection, repo_id, digests)

    def unsound(self, files: Iterable[FileRow]) -> set[str]:
        """Digests of those files whose bytes somebody who offers them should send again."""
        return unsound_files(self._database, self.objects, files)

    def get(self, digest: str) -> FileRow:
        """The file of that digest; callers have checked that it is theirs to read. Raises MissingBlob."""
        with self._database.read() as connection:
            row = rows.find_file(connection, digest)
        if row is None:
            raise MissingBlob(f"File {digest} is not in the store", hint="restore it from a backup")
        return row

    def add_whole(self, repo_id: int, digest: str, size_bytes: int, staged: StagedFile) -> None:
        """Take a received file in, if it is what was announced. Raises BadUpload otherwise.

        When this returns the bytes are durable and the repo may name them.
        """
        staged.finish()
        if staged.size_bytes != size_bytes:
            raise BadUpload(f"Received {staged.size_bytes} bytes where {size_bytes} were announced")
        if staged.sha256 != digest:
            raise BadUpload(f"Received bytes have sha256 {staged.sha256}, not {digest} as announced")
        self._adopt(repo_id, staged)

    def add_received(self, repo_id: int, staged: StagedFile) -> str:
        """Take in a received file that nobody announced, as a browser sends it; its digest."""
        staged.finish()
        self._adopt(repo_id, staged)
        return staged.sha256

    def add_made(self, staged: StagedFile) -> str:
        """Take in a file that the hub made, which no repo may name yet; its digest. `allow_in_repo` follows."""
        staged.finish()
        self._adopt(None, staged)
        return staged.sha256

    def _adopt(self, repo_id: int | None, staged: StagedFile) -> None:
        digest = staged.sha256
        key = f"files/{digest[:2]}/{digest[2:4]}/{digest}"
        self.objects.adopt(key, staged)
        at = self._clock()
        with self._database.write() as connection:
            rows.add_representation(connection, digest, staged.size_bytes, at, object_key=key)
            if repo_id is not None:
                rows.allow_in_repo(connection, repo_id, [digest], at)

    def allow_on(self, connection: sa.Connection, repo_id: int, digests: Sequence[str]) -> None:
        """`allow_in_repo`, on a connection that is already open."""
        rows.allow_in_repo(connection, repo_id, digests, self._clock())

    def allow_in_repo(self, repo_id: int, digests: Sequence[str]) -> None:
        """Let a repo name files whose content the caller was seen to read elsewhere."""
        with self._database.write() as connection:
            rows.allow_in_repo(connection, repo_id, digests, self._clock())

    def trust(self, file: FileRow) -> TrustedFile | None:
        """The file as one local file that may be sent unread for as long as it is untouched; None if there is none."""
        return None if file.object_key is None else self.objects.trust(file.object_key)

    def local_file(self, file: FileRow) -> Path | None:
        """The file as one trusted local file that may be sent or mapped unread; None if there is none."""
        trusted = self.trust(file)
        return None if trusted is None else trusted.path

    def materialise(self, digest: str) -> Path:
        """The file as one local, trusted file: the stored one, or a checked copy in the cache folder.

        Engines map files into memory, so that a file held in another representation needs a copy.
        """
        file = self.get(digest)
        stored = self.local_file(file)
        if stored is not None:
            return stored
        target = self._cache_dir / digest
        if target.exists() and target.stat().st_size == file.size_bytes:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.staging.open() as staged:
            for piece in self.open_range(file, 0, file.size_bytes):
                staged.write(piece)
            staged.finish()
            if staged.sha256 != digest:
                raise CorruptBlock(f"File {digest} is damaged in the store", hint="restore it from a backup")
            staged.path.replace(target)
        return target

    def open_range(self, file: FileRow, start: int, stop: int) -> Iterator[bytes]:
        """Yield plain bytes [start, stop) in pieces of at most about a MiB, verified.

        Where one representation is damaged, the next takes over at that byte. When none is left, raises
        CorruptBlock or MissingBlob; nothing after the damage is yielded.
        """
        representations: list[_Representation] = []
        if file.object_key is not None:
            representations.append(partial(self._whole_range, file.object_key))
        if file.xet_hash is not None:
            representations.append(partial(self.xet_reader.iter_range, file.xet_hash))
        if not representations:
            raise MissingBlob(f"File {file.digest} has no representation", hint="restore it from a backup")
        return _first_sound(representations, start, min(stop, file.size_bytes))

    def _whole_range(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        yield from self.objects.iter_range(self.objects.get(key), start, stop)


def _first_sound(representations: Sequence[_Representation], start: int, stop: int) -> Iterator[bytes]:
    for representation in representations[:-1]:
        try:
            for piece in representation(start, stop):
                start += len(piece)
                yield piece
        except (CorruptBlock, MissingBlob) as error:
            log.error("%s; reading another representation from byte %d", error.message, start)
        else:
            return
    yield from representations[-1](start, stop)
