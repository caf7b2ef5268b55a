"""How bytes reach this package: a reader of ranges, and a file list. Nothing here knows a store."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from seedstock.core.errors import TooLarge, UnsupportedFormat


class RangeReader(Protocol):
    """One file of a commit, readable anywhere."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole file."""

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop), clipped to the file."""


class FileEntry(msgspec.Struct, frozen=True):
    """A file of the commit: path from the root and size."""

    path: str
    size_bytes: int


class BytesReader:
    """A RangeReader over bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size_bytes(self) -> int:
        """Length of the bytes."""
        return len(self._content)

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop)."""
        return self._content[start:stop]


class LocalFile:
    """A `RangeReader` over a file of this machine."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size_bytes = path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), clipped to the file."""
        self._file.seek(start)
        return self._file.read(max(0, min(stop, self.size_bytes) - start))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_exact(reader: RangeReader, start: int, stop: int) -> bytes:
    """Return exactly the bytes [start, stop). Raises UnsupportedFormat if the file ends before."""
    if stop > reader.size_bytes:
        raise UnsupportedFormat(
            f"The file ends at byte {reader.size_bytes}, before byte {stop} of its header"
        )
    data = reader.read(start, stop)
    if len(data) != stop - start:
        raise UnsupportedFormat(f"Only {len(data)} of {stop - start} header bytes could be read")
    return data


def read_whole(reader: RangeReader, limit_bytes: int) -> bytes:
    """Return the whole file. Raises TooLarge beyond `limit_bytes`."""
    if reader.size_bytes > limit_bytes:
        raise TooLarge(f"{reader.size_bytes} bytes is more than the {limit_bytes} that are read for metadata")
    return reader.read(0, reader.size_bytes)
