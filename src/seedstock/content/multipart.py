"""Uploads in parts: each part is written at its offset of one staged file, in any order, as often as tried.

A part that is on disk is marked by an empty file beside it, so that a client that resumes, or another
server process on the same folder, can go on. The whole is hashed once, when the upload is completed.
"""

from __future__ import annotations

import os
import secrets
import shutil

from seedstock.content.service import Content
from seedstock.core.clock import Clock
from seedstock.core.errors import BadUpload, NotFound
from seedstock.db import files as rows
from seedstock.db.engine import Database
from seedstock.db.files import MultipartRow
from seedstock.store.staging import disk_errors

CHUNK_BYTES = 64 << 20
_READ_BYTES = 1 << 20


class Multipart:
    """Uploads in parts that have begun."""

    def __init__(self, database: Database, content: Content, clock: Clock) -> None:
        self._database = database
        self._content = content
        self._clock = clock

    def begin(self, repo_id: int, digest: str, size_bytes: int) -> MultipartRow:
        """Open an upload."""
        row = MultipartRow(secrets.token_hex(16), repo_id, digest, size_bytes, CHUNK_BYTES, self._clock())
        with self._database.write() as connection:
            rows.insert_multipart(connection, row)
        return row

    def get(self, id: str) -> MultipartRow:
        """The upload of that id. Raises NotFound."""
        with self._database.read() as connection:
            row = rows.find_multipart(connection, id)
        if row is None:
            raise NotFound("No such upload", hint="start the upload again")
        return row

    def part(self, id: str, number: int) -> PartWriter:
        """Begin to receive part `number` (from 1). Raises NotFound, BadUpload."""
        row = self.get(id)
        if not 1 <= number <= part_count(row.size_bytes):
            raise BadUpload(f"Part {number} of an upload that has {part_count(row.size_bytes)}")
        return PartWriter(self._content, row, number)

    def complete(self, id: str) -> MultipartRow:
        """Hash the whole and take it in. Raises BadUpload when parts are missing or the digest is wrong."""
        row = self.get(id)
        folder = self._content.staging.named(row.id, "data").parent
        missing = [n for n in range(1, part_count(row.size_bytes) + 1) if not (folder / str(n)).exists()]
        if missing:
            raise BadUpload(f"Part {missing[0]} of the upload has not arrived ({len(missing)} are missing)")
        with self._content.staging.open() as staged:
            with (folder / "data").open("rb", buffering=0) as file:
                while piece := file.read(_READ_BYTES):
                    staged.write(piece)
            self._content.add_whole(row.repo_id, row.digest, row.size_bytes, staged)
        with self._database.write() as connection:
            rows.delete_multipart(connection, row.id)
        shutil.rmtree(folder, ignore_errors=True)
        return row


class PartWriter:
    """Writes one part at its place."""

    def __init__(self, content: Content, row: MultipartRow, number: int) -> None:
        path = content.staging.named(row.id, "data")
        self._mark = path.with_name(str(number))
        with disk_errors(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._at = (number - 1) * row.chunk_bytes
        self._end = min(row.size_bytes, self._at + row.chunk_bytes)
        self.length = self._end - self._at

    def write(self, piece: bytes) -> None:
        """Write the next bytes of the part. Raises BadUpload when they are more than announced."""
        if self._at + len(piece) > self._end:
            raise BadUpload("The part is longer than announced")
        view = memoryview(piece)
        with disk_errors(self._mark):
            while view:
                written = os.pwrite(self._file, view, self._at)
                self._at += written
                view = view[written:]

    def finish(self) -> str:
        """Sync the part and return its entity tag. Raises BadUpload when bytes are missing."""
        if self._at != self._end:
            raise BadUpload(f"The part lacks {self._end - self._at} bytes")
        with disk_errors(self._mark):
            os.fsync(self._file)
            self._mark.touch()
        return f'"{self._mark.parent.name}-{self._mark.name}"'

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def part_count(size_bytes: int) -> int:
    """How many parts an upload of that size has."""
    return max(1, -(-size_bytes // CHUNK_BYTES))
