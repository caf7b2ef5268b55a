"""Where the bytes of an answer come from: the store, or memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seedstock.content.service import Content
from seedstock.db.files import FileRow


class StoredSource:
    """A large file of the store."""

    data = None

    def __init__(self, content: Content, file: FileRow) -> None:
        self.size_bytes = file.size_bytes
        self._content = content
        self._file = file
        self._trusted = content.trust(file)

    def path(self) -> Path | None:
        """The stored file, while it is as it was when it was last verified."""
        return None if self._trusted is None else self._trusted.path

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Verified bytes, from whichever representation is sound."""
        return self._content.open_range(self._file, start, stop)


class MemorySource:
    """A small file, which git holds."""

    def __init__(self, data: bytes) -> None:
        self.size_bytes = len(data)
        self.data = data

    def path(self) -> Path | None:
        """There is none."""
        return None

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes [start, stop)."""
        yield self.data[start:stop]
