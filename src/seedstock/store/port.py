"""What the hub needs of a place that keeps bytes. `local.py` is a folder, `remote.py` any object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Immutable objects under keys such as `files/ab/cd/<sha256>`."""

    def put(self, key: str, staged: Path) -> None:
        """Make the staged file durable under the key; it replaces what was there. Consumes `staged`.

        When this returns, the bytes survive a crash of the machine.
        """

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Stored bytes [start, stop). Raises MissingBlob, or CorruptBlock when the object is shorter."""

    def local_path(self, key: str) -> Path | None:
        """The object as a file of this machine, if it is one."""

    def signature(self, key: str) -> str | None:
        """A text that changes whenever the stored object is written to; None if it is absent."""

    def delete(self, key: str) -> None:
        """Remove an object; silent if there is none."""

    def iter_keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Every key below a prefix, with its size in bytes."""
