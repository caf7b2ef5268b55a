"""Objects in a folder of this machine.

Not obstore's local store: that one neither syncs the file before it appears under its name nor the folder
afterwards, and a crash of the machine could then leave an acknowledged object empty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from seedstock.core.errors import CorruptBlock, MissingBlob, StoreUnreachable


class LocalObjects:
    """An ObjectStore below `root`; staged files must be on the same file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, staged: Path) -> None:
        """See ObjectStore.put: data is synced by the writer of `staged`, names are synced here."""
        target = self._root / key
        try:
            _make_folders(target.parent, self._root)
            staged.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise StoreUnreachable(
                f"Cannot store {key}: {error.strerror}", hint="check space and rights"
            ) from error

    def read(self, key: str, start: int, stop: int) -> bytes:
        """See ObjectStore.read."""
        try:
            with (self._root / key).open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), stop - start, start)
        except FileNotFoundError:
            raise MissingBlob(f"Stored object {key} is missing", hint="restore it from a backup") from None
        if len(data) != stop - start:
            raise CorruptBlock(f"Stored object {key} is shorter than it was", hint="restore it from a backup")
        return data

    def local_path(self, key: str) -> Path | None:
        """See ObjectStore.local_path."""
        return self._root / key

    def signature(self, key: str) -> str | None:
        """See ObjectStore.signature."""
        try:
            status = (self._root / key).stat()
        except FileNotFoundError:
            return None
        return f"{status.st_size}-{status.st_ino}-{status.st_mtime_ns}"

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        (self._root / key).unlink(missing_ok=True)

    def iter_keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See ObjectStore.iter_keys."""
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                path = Path(folder, name)
                yield str(path.relative_to(self._root)), path.stat().st_size


def _make_folders(folder: Path, root: Path) -> None:
    if folder == root or folder.exists():
        return
    _make_folders(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
