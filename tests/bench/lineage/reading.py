"""Files as the comparison sees them: ranges of bytes, with a record of which were asked for."""

from __future__ import annotations

import os
from pathlib import Path

from seedstock.weights.checkpoint import Checkpoint, open_checkpoint


class FileReader:
    """A RangeReader over a file on disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.size_bytes = os.fstat(self._file).st_size
        self.ranges: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop), clipped to the file."""
        self.ranges.append((start, stop))
        return os.pread(self._file, max(stop - start, 0), start)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def open_files(folder: Path, files: tuple[str, ...]) -> Checkpoint:
    """One model of the benchmark; `files` are relative to its folder."""
    return open_checkpoint({Path(file).name: FileReader(folder / file) for file in files})
