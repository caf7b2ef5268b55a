"""Writes weights as transformers does: safetensors shards of a size, and an index where there are several.

Headers go first, for all sizes are known before anything is computed; tensors then stream through.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from seedstock.core.errors import Integrity
from seedstock.metadata.safetensors_header import DTYPE_BITS

INDEX = "model.safetensors.index.json"


class Entry(msgspec.Struct, frozen=True):
    """A tensor to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int

    @property
    def size_bytes(self) -> int:
        """Stored length."""
        return self.elements * DTYPE_BITS[self.dtype] // 8


class Shard(msgspec.Struct, frozen=True):
    """A file and its tensors in the order of their bytes."""

    file_name: str
    entries: tuple[Entry, ...]


def plan_shards(entries: Sequence[Entry], max_bytes: int) -> list[Shard]:
    """Fill shards in the order given; a tensor larger than a shard has one of its own."""
    groups: list[list[Entry]] = []
    filled = 0
    for entry in entries:
        if not groups or filled + entry.size_bytes > max_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(entry)
        filled += entry.size_bytes
    if len(groups) == 1:
        return [Shard("model.safetensors", _as_stored(groups[0]))]
    count = len(groups)
    return [
        Shard(f"model-{at:05d}-of-{count:05d}.safetensors", _as_stored(group))
        for at, group in enumerate(groups, 1)
    ]


def write_index(folder: Path, shards: Sequence[Shard]) -> None:
    """The map from tensors to files, for more than one."""
    if len(shards) == 1:
        return
    entries = [(entry, shard.file_name) for shard in shards for entry in shard.entries]
    index = {
        "metadata": {
            "total_parameters": sum(entry.elements for entry, _ in entries),
            "total_size": sum(entry.size_bytes for entry, _ in entries),
        },
        "weight_map": dict(sorted((entry.name, file_name) for entry, file_name in entries)),
    }
    (folder / INDEX).write_bytes(msgspec.json.format(msgspec.json.encode(index)) + b"\n")


class ShardWriter:
    """One shard; tensors must come in the order of its entries."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        self._shard = shard
        self._path = folder / shard.file_name
        self._file: BinaryIO

    def __enter__(self) -> ShardWriter:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._file.write(_header(self._shard.entries))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, entry: Entry, pieces: Iterable[memoryview]) -> None:
        """All bytes of one tensor."""
        written = 0
        for piece in pieces:
            left = piece
            while left:
                left = left[self._file.write(left) :]
            written += len(piece)
        if written != entry.size_bytes:
            raise Integrity(
                f"Tensor {entry.name[:120]!r} came out as {written} bytes instead of {entry.size_bytes}"
            )


def _as_stored(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Wider types first, then by name: the order of the safetensors library."""
    return tuple(sorted(entries, key=lambda entry: (-DTYPE_BITS[entry.dtype], entry.name)))


def _header(entries: Sequence[Entry]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for entry in entries:
        stop = position + entry.size_bytes
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": entry.shape,
            "data_offsets": (position, stop),
        }
        position = stop
    raw = msgspec.json.encode(header)
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw
