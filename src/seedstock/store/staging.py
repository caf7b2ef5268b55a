"""Where bytes wait until they are known to be what they claim: a folder beside the store.

A staged file that nobody adopts (client gone, process killed) is rubbish; `sweep` removes old ones.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from seedstock.core.errors import StoreUnreachable
from seedstock.store.checks import CheckWriter


class StagedFile:
    """A file being received: counts, block checks and SHA-256 run along with the write.

    Use as a context manager: unless a store adopted the file, it is removed at the end.
    """

    def __init__(self, path: Path, *, hash_whole: bool = True) -> None:
        self.path = path
        self.size_bytes = 0
        self.checks = b""
        self.sha256 = ""
        self._sha256 = hashlib.sha256() if hash_whole else None
        self._checks = CheckWriter()
        with disk_errors(path):
            self._file = path.open("xb", buffering=0)

    def write(self, piece: bytes | memoryview) -> None:
        """Append bytes. Raises StoreUnreachable when the disk is full."""
        with disk_errors(self.path):
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
        self.size_bytes += len(piece)
        self._checks.update(piece)
        if self._sha256 is not None:
            self._sha256.update(piece)

    def finish(self) -> None:
        """Sync to disk and fix `size_bytes`, `checks` and `sha256`; a second time it does nothing."""
        if self._file.closed:
            return
        with disk_errors(self.path):
            os.fsync(self._file.fileno())
            self._file.close()
        self.checks = self._checks.finish()
        if self._sha256 is not None:
            self.sha256 = self._sha256.hexdigest()

    def __enter__(self) -> StagedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class Staging:
    """The folder of staged files; on the same file system as a local store, so that adopting is a rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, *, hash_whole: bool = True) -> StagedFile:
        """Begin to receive a file."""
        return StagedFile(self._folder / secrets.token_hex(16), hash_whole=hash_whole)

    def free_bytes(self) -> int:
        """How much more fits beside the folder."""
        return shutil.disk_usage(self._folder).free

    def named(self, *parts: str) -> Path:
        """A path below the folder that the caller manages, its parent made."""
        path = self._folder.joinpath(*parts)
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def sweep(self, older_than_s: float) -> int:
        """Remove what has not been written to for that long; returns how many files went."""
        limit, removed = time.time() - older_than_s, 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                if path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says into StoreUnreachable with advice."""
    try:
        yield
    except OSError as error:
        hint = (
            "free some space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "check the folder's rights"
        )
        raise StoreUnreachable(f"Cannot write below {path.parent}: {error.strerror}", hint=hint) from error
