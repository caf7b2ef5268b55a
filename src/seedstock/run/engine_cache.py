"""Files that are made for engines out of what repos hold: a folder of whole files, the least recently used removed first.

A file is named by what it was made from. It is written beside its place, its record (size, SHA-256, inode, time of the
last change) is written, and only then it is moved in: `find` knows no file that is not as it was left, so that one cut
short or changed since is made anew instead of being served. One process makes at a time, in each of two lanes, so that
small files need not wait for large ones; the lane's lock ends with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from seedstock.core import errors
from seedstock.core.errors import HubError, ModelNotRunnable, StoreUnreachable, Unavailable

SPARE_BYTES = 256 << 20
"""What is left free on the disk for everything else."""
_IN_USE_S = 60.0  # between being found and being opened by an engine
_REFUSED_S = 60.0
_FAILED_S = 5.0
_TOLD_EVERY_S = 0.3
T = TypeVar("T")


class Made(msgspec.Struct, frozen=True):
    """A file that is whole."""

    path: Path
    sha256: str
    size_bytes: int


class Progress(msgspec.Struct, frozen=True):
    """How far the making of a file is."""

    fraction: float
    size_bytes: int


class _Record(msgspec.Struct, frozen=True):
    sha256: str
    size_bytes: int
    inode: int
    modified_ns: int


class _Failure(msgspec.Struct, frozen=True):
    kind: str
    message: str
    hint: str | None
    until_s: float


class EngineCache:
    """The folder; any number of processes may use it."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def find(self, key: str) -> Made | None:
        """The file of that name if it is whole; marks it as used."""
        record, path = _read(self._place(key, "json"), _Record), self._place(key, "gguf")
        try:
            if record is None or _signature(path.stat()) != (
                record.size_bytes,
                record.inode,
                record.modified_ns,
            ):
                return None
            os.utime(self._place(key, "json"))
        except OSError:
            return None
        return Made(path, record.sha256, record.size_bytes)

    def progress(self, key: str) -> Progress | None:
        """How far it is, if it is being made."""
        return _read(self._place(key, "progress"), Progress)

    def find_failure(self, key: str) -> HubError | None:
        """Why it could not be made, for as long as trying again is no use."""
        failure = _read(self._place(key, "failed"), _Failure)
        if failure is None or time.time() >= failure.until_s:
            return None
        kind = getattr(errors, failure.kind, ModelNotRunnable)
        return kind(failure.message, hint=failure.hint) if issubclass(kind, HubError) else None

    def note_failure(self, key: str, error: HubError) -> None:
        """Remember why it could not be made."""
        passing = isinstance(error, Unavailable)
        kind = Unavailable if passing else ModelNotRunnable
        until_s = time.time() + (_FAILED_S if passing else _REFUSED_S)
        self._write(key, "failed", _Failure(kind.__name__, error.message, error.hint, until_s))

    @contextmanager
    def lane(self, name: str) -> Iterator[None]:
        """Wait for one's turn to make files; what those left behind that were killed at it is removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in self._folder.glob(f"*.{name}-part"):
                stale.unlink(missing_ok=True)
                stale.with_suffix(".progress").unlink(missing_ok=True)
            yield

    def make(self, lane: str, key: str, size_bytes: int, fill: Callable[[Callable[[bytes], None]], T]) -> T:
        """Have `fill` write a file of some `size_bytes`, and move it in place. The lane is the caller's.

        Raises Unavailable with numbers where it does not fit.
        """
        self._make_room(size_bytes)
        part = self._place(key, f"{lane}-part")
        try:
            with part.open("wb") as file:
                sink = _Sink(file.write, lambda done: self._tell(key, done, size_bytes))
                filled = fill(sink.write)
                file.flush()
                os.fsync(file.fileno())
            found = part.stat()
            record = _Record(sink.sha256.hexdigest(), found.st_size, found.st_ino, found.st_mtime_ns)
            self._write(key, "json", record)
            part.replace(self._place(key, "gguf"))
        except OSError as error:
            raise StoreUnreachable(f"Cannot write below {self._folder}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
            self._place(key, "progress").unlink(missing_ok=True)
        self._place(key, "failed").unlink(missing_ok=True)
        return filled

    def _make_room(self, needed: int) -> None:
        """Remove the files that were not used for the longest time, until `needed` fits limit and disk."""
        if needed > self._limit_bytes:
            raise Unavailable(
                f"It needs {needed / 1e6:,.0f} MB; {self._limit_bytes / 1e6:,.0f} MB may be used for such files",
                hint="raise SEEDSTOCK_ENGINE_CACHE_BYTES",
            )
        entries = sorted(self._entries())
        held = sum(size for _, size, _ in entries)
        for used_s, size, key in entries:
            if held + needed <= self._limit_bytes and self._free() >= needed + SPARE_BYTES:
                return
            if used_s < time.time() - _IN_USE_S:
                self.remove(key)
                held -= size
        free = max(0, self._free() - SPARE_BYTES)
        if held + needed > self._limit_bytes or free < needed:
            room = min(free, self._limit_bytes - held)
            raise Unavailable(
                f"It needs {needed / 1e6:,.0f} MB of disk; {max(0, room) / 1e6:,.0f} MB are free for such files",
                hint="free some space, or try again when other models are not in use",
            )

    def remove(self, key: str) -> None:
        """Remove a file; an engine that has it open goes on with it."""
        self._place(key, "json").unlink(missing_ok=True)
        self._place(key, "gguf").unlink(missing_ok=True)

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """When each file was used, its size, and its name."""
        for record in self._folder.glob("*.json"):
            file = record.with_suffix(".gguf")
            try:
                yield record.stat().st_mtime, file.stat().st_size, record.stem
            except FileNotFoundError:
                yield 0.0, 0, record.stem

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _tell(self, key: str, done: int, size_bytes: int) -> None:
        self._write(key, "progress", Progress(done / max(1, size_bytes), size_bytes))

    def _place(self, key: str, suffix: str) -> Path:
        return self._folder / f"{key}.{suffix}"

    def _write(self, key: str, suffix: str, value: msgspec.Struct) -> None:
        fresh = self._place(key, f"{suffix}-{os.getpid()}")
        fresh.write_bytes(msgspec.json.encode(value))
        fresh.replace(self._place(key, suffix))


class _Sink:
    """Counts and hashes what is written."""

    def __init__(self, write: Callable[[bytes], int], tell: Callable[[int], None]) -> None:
        self.sha256 = hashlib.sha256()
        self._write = write
        self._tell = tell
        self._done = 0
        self._told_s = 0.0

    def write(self, piece: bytes) -> None:
        self._write(piece)
        self.sha256.update(piece)
        self._done += len(piece)
        if time.monotonic() - self._told_s >= _TOLD_EVERY_S:
            self._told_s = time.monotonic()
            self._tell(self._done)


def _signature(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_ino, found.st_mtime_ns


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
